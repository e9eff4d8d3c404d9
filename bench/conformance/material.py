"""What plug-ins are tried on: small drawn scenes with made-up maps, and the sizes and maps that break things."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from bench.contracts import Image, Mask, ProbabilityMap, Sample, Split
from bench.datasets.quickstart import scenes

SUPPORT = 5
"""Labelled samples that each sample carries, for few-shot bases; the others do not look at them."""


@dataclass(frozen=True)
class Case:
    """An image with a map of it and its mask, all of one size."""

    name: str
    image: Image
    probs: ProbabilityMap
    mask: Mask

    def copy(self, *, writable: bool = True) -> Case:
        """The same values in arrays of their own."""
        copied = Case(self.name, self.image.copy(), self.probs.copy(), self.mask.copy())
        for array in (copied.image, copied.probs, copied.mask):
            array.setflags(write=writable)
        return copied


@cache
def scene(height: int, width: int, seed: int = 0) -> Case:
    """A drawn road scene; its map is the blurred mask, over-confident on the left, under-confident on the right."""
    rng = np.random.default_rng([seed, height, width])
    drawn, roads = scenes.draw(rng, max(64, height, width), 0.5)
    image, mask = drawn[:height, :width].copy(), roads[:height, :width].copy()
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2)
    reach = np.linspace(0.9, 0.5, width, dtype=np.float32)
    noise = 0.08 * rng.standard_normal((height, width), np.float32)
    probs = np.clip(soft * reach + 0.05 + noise, 0, 1).astype(np.float32)
    return Case(f"{width}x{height}", image, probs, mask)


@cache
def ordinary() -> Case:
    """What every plug-in must cope with before anything else."""
    return replace(scene(64, 48), name="ordinary image")


@cache
def hard() -> tuple[Case, ...]:
    """Sizes, maps and images that are rare, allowed, and met in every large dataset."""
    usual = scene(48, 64)
    shape = usual.mask.shape
    flat = np.full_like(usual.image, 128)
    return (
        replace(scene(33, 47), name="odd size"),
        replace(scene(1, 1), name="one pixel"),
        replace(scene(1, 37), name="one row"),
        replace(scene(37, 1), name="one column"),
        replace(usual, name="constant image", image=flat),
        replace(usual, name="empty map", probs=np.zeros(shape, np.float32), mask=np.zeros(shape, bool)),
        replace(usual, name="full map", probs=np.ones(shape, np.float32), mask=np.ones(shape, bool)),
        replace(usual, name="undecided map", probs=np.full(shape, 0.5, np.float32)),
    )


class TinySplit:
    """Six drawn samples: `bench.contracts.Dataset`. Counts how often it is read."""

    name = "conformance"

    def __init__(self, split: Split, count: int = 6) -> None:
        self.split: Split = split
        self.reads = 0
        self._first = {"train": 100, "val": 200, "test": 300}[split]
        self._ids = tuple(f"class{index % 2}/{split}{index}" for index in range(count))

    @property
    def ids(self) -> Sequence[str]:
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int, /) -> Sample:
        self.reads += 1
        return sample(self.case(index), self._ids[index])

    def case(self, index: int) -> Case:
        """The sample with its map; its arrays are read-only, as those of a memory-mapped file."""
        index = range(len(self))[index]
        height, width = ((64, 64), (48, 64), (57, 41))[index % 3]
        return scene(height, width, self._first + index).copy(writable=False)

    def fingerprint(self) -> str:
        """The split's name, in hexadecimal digits."""
        return self.split.encode().hex()


class TinyMaps:
    """`TinySplit` with its maps: `bench.contracts.MapDataset`."""

    def __init__(self) -> None:
        self.samples = TinySplit("val")

    @property
    def ids(self) -> Sequence[str]:
        return self.samples.ids

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        return self.samples[index], self.samples.case(index).probs


def sample(case: Case, id_: str = "") -> Sample:
    """The case as a sample, with a support; its id follows from its name and contents, as no two samples share one."""
    contents = hashlib.blake2b(case.image.tobytes() + case.mask.shape[0].to_bytes(4), digest_size=4).hexdigest()
    id_ = id_ or f"class0/{case.name.replace(' ', '-')}-{contents}"
    others = [scene(64, 64, 400 + number) for number in range(SUPPORT)]
    support = tuple(Sample(f"class0/support{n}", other.image, other.mask) for n, other in enumerate(others))
    return Sample(id_, case.image, case.mask, support)


def brightness(images: Sequence[Image]) -> list[ProbabilityMap]:
    """A base that needs no training, for refiners that ask one: the brighter, the likelier."""
    return [(image.mean(axis=2) / 255).astype(np.float32) for image in images]
