"""The stable names: ``"prn[size=128]"`` -> a refiner, a base or a dataset."""

from __future__ import annotations

from bench.config import Settings, load
from bench.contracts import BaseNetwork, DatasetSource, Refiner
from bench.plugins.variants import resolve


def load_base(spec: str, *, settings: Settings | None = None, device: str = "cpu", seed: int = 0) -> BaseNetwork:
    """Make a base from ``"unet[encoder=resnet18]"``. Raises UserError as `bench.plugins.variants.resolve`."""
    base: BaseNetwork = resolve("base", spec, settings or load()).make(device=device, seed=seed)
    return base


def load_refiner(spec: str, *, settings: Settings | None = None, device: str = "cpu", seed: int = 0) -> Refiner:
    """Make a refiner from ``"prn[patch=64]"``. Raises UserError as `bench.plugins.variants.resolve`."""
    refiner: Refiner = resolve("refiner", spec, settings or load()).make(device=device, seed=seed)
    return refiner


def load_dataset(spec: str, *, settings: Settings | None = None) -> DatasetSource:
    """Make a dataset from ``"kvasir"`` or ``"folder[images=DIR,masks=DIR]"``.

    Raises:
        UserError: as `bench.plugins.variants.resolve`.
    """
    source: DatasetSource = resolve("dataset", spec, settings or load()).make()
    return source
