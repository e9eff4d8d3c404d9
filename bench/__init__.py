"""Which refinement method improves my segmentation masks, by how much, and at what cost?

``bench.run``, ``bench.score``, ``bench.predict``, ``bench.refine``, ``bench.train_base``, ``bench.train_refiner``,
``bench.tune`` and ``bench.export`` are what the commands of the same names call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.commands import predict as predict
    from bench.commands import run as run
    from bench.exporting import export as export
    from bench.fitting import train_base as train_base
    from bench.fitting import train_refiner as train_refiner
    from bench.fitting import tune as tune
    from bench.refining import refine as refine
    from bench.scoring import score as score

_MODULES = {
    "export": "bench.exporting",
    "predict": "bench.commands",
    "refine": "bench.refining",
    "run": "bench.commands",
    "score": "bench.scoring",
    "train_base": "bench.fitting",
    "train_refiner": "bench.fitting",
    "tune": "bench.fitting",
}

__all__ = ["export", "predict", "refine", "run", "score", "train_base", "train_refiner", "tune"]


def __getattr__(name: str) -> Any:
    # Late: `bench --help` must not wait for pandas.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
