"""Datasets and maps held in memory, made from what a test draws: no test needs a class of its own for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from bench.contracts import Image, Mask, ProbabilityMap, Sample, Split

Pair = tuple[Sample, ProbabilityMap]


class ToyDataset:
    """A split in memory: `bench.contracts.Dataset`.

    Args:
        samples: in the order of the split; images uint8 ``(H, W, 3)``, masks bool ``(H, W)``.
    """

    def __init__(self, samples: Iterable[Sample], split: Split = "train", name: str = "toy") -> None:
        self.samples, self.name = list(samples), name
        self.split: Split = split

    @property
    def ids(self) -> list[str]:
        return [sample.id for sample in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample:
        return self.samples[index]

    def fingerprint(self) -> str:
        """Hex digest of all ids, images and masks, supports included."""
        digest = hashlib.blake2b(digest_size=16)
        for whole in self.samples:
            for sample in (whole, *whole.support):
                digest.update(f"{sample.id}\0{sample.mask.shape}\0".encode())
                digest.update(sample.image.tobytes() + sample.mask.tobytes())
        return digest.hexdigest()


class ToyMaps:
    """A split with its maps in memory: `bench.contracts.MapDataset`. Counts how often it is read.

    Args:
        pairs: samples with their float32 maps ``(H, W)``, in the order of the split.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = list(pairs)
        self.reads = 0

    @classmethod
    def drawn(cls, draw: Callable[[int], Pair], count: int) -> ToyMaps:
        """What ``draw`` makes of 0, 1, ... ``count - 1``."""
        return cls(draw(index) for index in range(count))

    @property
    def ids(self) -> list[str]:
        return [sample.id for sample, _ in self.pairs]

    @property
    def images(self) -> list[Image]:
        """uint8 ``(H, W, 3)`` each."""
        return [sample.image for sample, _ in self.pairs]

    @property
    def masks(self) -> list[Mask]:
        """bool ``(H, W)`` each."""
        return [sample.mask for sample, _ in self.pairs]

    @property
    def maps(self) -> list[ProbabilityMap]:
        """float32 ``(H, W)`` each."""
        return [probs for _, probs in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int, /) -> Pair:
        self.reads += 1
        return self.pairs[index]


def painted(name: str, mask: Mask) -> Sample:
    """A dark grey image ``(H, W, 3)`` that is bright where the mask ``(H, W)`` is."""
    return Sample(name, np.dstack([np.where(mask, 200, 60).astype(np.uint8)] * 3), mask)


def discs(split: Split) -> ToyDataset:
    """Six images with a bright disc; sizes differ."""

    def disc(index: int) -> Sample:
        rows, columns = np.mgrid[: 40 + index, :50]
        return painted(f"{split}{index}", np.hypot(rows - 20, columns - 10 - 5 * index) < 9)

    return ToyDataset(map(disc, range(6)), split, "discs")


def roads(split: Split, rows: int = 40, columns: int = 50, reach: int = 4) -> ToyDataset:
    """Three images with a bright diagonal line.

    Args:
        rows: of the first image; each has one row more than the one before it.
        columns: of all.
        reach: of the line to both sides in the first image, pixels; a pixel more in each after it.
    """

    def road(index: int) -> Sample:
        down, across = np.mgrid[: rows + index, :columns]
        return painted(f"{split}{index}", np.abs(down - across) < reach + index)

    return ToyDataset(map(road, range(3)), split, "roads")
