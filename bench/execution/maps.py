"""A split with the base's maps: what a refiner learns from."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Dataset, ProbabilityMap, Sample
from bench.store.maps import MapCache


class MapSplit:
    """A split with its maps: `bench.contracts.MapDataset`."""

    def __init__(self, samples: Dataset, maps: MapCache) -> None:
        self.samples, self.maps = samples, maps

    @property
    def ids(self) -> Sequence[str]:
        return self.samples.ids

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        sample = self.samples[index]
        return sample, self.maps[sample.id]
