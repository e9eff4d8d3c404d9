"""Which refinement method improves my segmentation masks, by how much, and at what cost?

``bench.run``, ``bench.score`` and ``bench.predict`` are what the commands of the same names call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.commands import predict as predict
    from bench.commands import run as run
    from bench.commands import score as score

__all__ = ["predict", "run", "score"]


def __getattr__(name: str) -> Any:
    # Late: `bench --help` must not wait for pandas.
    if name in __all__:
        from bench import commands

        return getattr(commands, name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
