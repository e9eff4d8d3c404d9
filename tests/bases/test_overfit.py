"""Every base learns four real images of its own dataset by heart: network, loss and optimiser fit together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.contracts import Dataset, Sample
from bench.images import resize, resize_mask
from bench.metrics import iou
from bench.registry import load_base, load_dataset

REACHED = 0.95


class Repeated:
    """A few samples, each several times: an epoch of many steps."""

    name, split = "four", "train"

    def __init__(self, samples: list[Sample], times: int) -> None:
        self.samples, self.times = samples, times

    @property
    def ids(self) -> list[str]:
        return [f"{sample.id}-{time}" for time in range(self.times) for sample in self.samples]

    def __len__(self) -> int:
        return len(self.samples) * self.times

    def __getitem__(self, index: int, /) -> Sample:
        return self.samples[index % len(self.samples)]

    def fingerprint(self) -> str:
        return ""


@dataclass(frozen=True)
class Case:
    """How a base is made to overfit.

    Attributes:
        steps: an epoch's, of all four images each.
        epochs: of ``steps`` steps; the best by IoU on the four images is kept.
    """

    base: str
    dataset: str
    size: int
    lr: float
    steps: int
    epochs: int = 4
    options: str = ""


CASES = [
    Case("unet", "kvasir", 64, 1e-3, 30, options="encoder=resnet18"),
    Case("deeplabv3plus", "kvasir", 96, 1e-3, 40, options="encoder=resnet18"),
    Case("pspnet", "kvasir", 160, 1e-3, 40, options="encoder=resnet18"),
    Case("dlinknet", "deepglobe", 128, 1e-3, 60, options="schedule=cosine"),
    Case("isdnet", "deepglobe", 128, 1e-3, 45, options="crop=0,optimizer=adam,weight_decay=0,schedule=constant"),
    Case("coanet", "deepglobe", 64, 1e-3, 30, options="crop=0,optimizer=adam,weight_decay=0,schedule=constant"),
    Case("resunet", "kvasir", 64, 1e-3, 30, options="schedule=cosine"),
    Case("resunet-a", "kvasir", 64, 1e-3, 40, options="schedule=cosine"),
    Case("resunetpp", "kvasir", 64, 1e-3, 30, options="schedule=cosine"),
    Case("pfan", "duts", 64, 1e-3, 75, options="schedule=cosine,resize=stretch"),
    Case("rfcn", "duts", 64, 1e-4, 50, options="schedule=constant"),
]


def four(dataset: str, size: int) -> list[Sample]:
    """Four images of the dataset at the network's size; of roads the densest windows, at native resolution."""
    source = load_dataset(dataset)
    splits: list[Dataset] = [source.split(name) for name in ("train", "val", "test")]
    samples = [split[index] for split in splits for index in range(min(4, len(split)))]
    cut: Callable[[Sample], Sample] = densest if dataset == "deepglobe" else lambda sample: sample
    return [at(cut(sample), size) for sample in samples[:4]]


def densest(sample: Sample, side: int = 128) -> Sample:
    """The window with the most foreground."""
    counts = sample.mask.astype(np.float32).cumsum(0).cumsum(1)
    counts = np.pad(counts, ((1, 0), (1, 0)))
    window = counts[side:, side:] - counts[:-side, side:] - counts[side:, :-side] + counts[:-side, :-side]
    top, left = np.unravel_index(window.argmax(), window.shape)
    place = slice(top, top + side), slice(left, left + side)
    return Sample(sample.id, np.ascontiguousarray(sample.image[place]), sample.mask[place].copy())


def at(sample: Sample, size: int) -> Sample:
    return Sample(sample.id, resize(sample.image, size, size), resize_mask(sample.mask, size, size))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.base)
def test_it_learns_four_images_by_heart(
    case: Case, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(data))
    samples = four(case.dataset, case.size)
    assert len(samples) == 4 and all(sample.mask.any() for sample in samples)
    options = f"encoder_weights=none,size={case.size},lr={case.lr},batch=4,augment=none,epochs={case.epochs}"
    base: Any = load_base(f"{case.base}[{','.join(filter(None, [options, case.options]))}]")
    base.fit(Repeated(samples, case.steps), Repeated(samples, 1), tmp_path)
    found = [iou(probs, sample.mask) for probs, sample in zip(base.predict(samples), samples, strict=True)]
    print(f"{case.base}: training IoU {np.mean(found):.3f}, least {min(found):.3f}")
    assert np.mean(found) >= REACHED
