"""Which refinement method improves my segmentation masks, by how much, and at what cost?

``bench.run``, ``bench.score``, ``bench.predict``, ``bench.refine``, ``bench.train_base``, ``bench.train_refiner``,
``bench.tune`` and ``bench.export`` are what the commands of the same names call; ``bench.load`` gives what a store
holds, as ``bench.run`` does, and ``bench.compare`` what changed between two; ``bench.dry_run`` tells what a run would
do, and ``bench.status`` how far the runs of a store are.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.commands.compare import compare as compare
    from bench.commands.dry_run import dry_run as dry_run
    from bench.commands.export import export as export
    from bench.commands.predict import predict as predict
    from bench.commands.refine import refine as refine
    from bench.commands.results import load as load
    from bench.commands.run import run as run
    from bench.commands.score import score as score
    from bench.commands.status import status as status
    from bench.commands.store import check_store as check_store
    from bench.commands.store import collect_garbage as collect_garbage
    from bench.commands.train import train_base as train_base
    from bench.commands.train import train_refiner as train_refiner
    from bench.commands.tune import tune as tune

_MODULES = {
    "check_store": "bench.commands.store",
    "collect_garbage": "bench.commands.store",
    "compare": "bench.commands.compare",
    "dry_run": "bench.commands.dry_run",
    "export": "bench.commands.export",
    "predict": "bench.commands.predict",
    "refine": "bench.commands.refine",
    "load": "bench.commands.results",
    "run": "bench.commands.run",
    "score": "bench.commands.score",
    "status": "bench.commands.status",
    "train_base": "bench.commands.train",
    "train_refiner": "bench.commands.train",
    "tune": "bench.commands.tune",
}

__all__ = [
    "check_store",
    "collect_garbage",
    "compare",
    "dry_run",
    "export",
    "load",
    "predict",
    "refine",
    "run",
    "score",
    "status",
    "train_base",
    "train_refiner",
    "tune",
]


def __getattr__(name: str) -> Any:
    # Late: `bench --help` must not wait for pandas.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
