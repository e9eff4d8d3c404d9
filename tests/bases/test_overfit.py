"""Every base learns four real images of its own dataset by heart: network, loss and optimiser fit together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.bases.arn import Arn
from bench.bases.efficientlab import EfficientLab
from bench.contracts import Dataset, Sample
from bench.datasets.fss1000 import Fss1000
from bench.images import resize, resize_mask
from bench.metrics import iou
from bench.registry import load_base, load_dataset
from tests.toys import ToyDataset

REACHED = 0.95


def repeated(samples: list[Sample], times: int) -> ToyDataset:
    """A few samples, each several times: an epoch of many steps."""
    return ToyDataset(replace(sample, id=f"{sample.id}-{time}") for time in range(times) for sample in samples)


@dataclass(frozen=True)
class Case:
    """How a base is made to overfit.

    Attributes:
        steps: an epoch's, of all four images each.
        epochs: of ``steps`` steps; the best by IoU on the four images is kept.
        window: of roads, the side of the window with the most of them that is cut out, pixels.
    """

    base: str
    dataset: str
    size: int
    lr: float
    steps: int
    epochs: int = 4
    window: int = 64
    options: str = ""


CASES = [
    Case("unet", "kvasir", 64, 1e-3, 30, options="encoder=resnet18"),
    Case("deeplabv3plus", "kvasir", 96, 1e-3, 40, options="encoder=resnet18"),
    Case("pspnet", "kvasir", 160, 1e-3, 40, options="encoder=resnet18"),
    Case("dlinknet", "deepglobe", 128, 1e-3, 60, options="schedule=cosine"),
    # Logits at a quarter of the input's side: at their own scale roads would be too thin for any weights.
    Case("glnet", "deepglobe", 64, 5e-4, 60, 3, 16, options="mode=global,patch=64,weight_decay=0,schedule=cosine"),
    Case("isdnet", "deepglobe", 128, 1e-3, 75, options="crop=0,optimizer=adam,weight_decay=0,schedule=cosine"),
    Case("coanet", "deepglobe", 64, 5e-4, 60, options="crop=0,optimizer=adam,weight_decay=0,schedule=cosine"),
    Case("resunet", "kvasir", 64, 1e-3, 45, options="schedule=cosine"),
    Case("resunet-a", "kvasir", 64, 1e-3, 40, options="schedule=cosine"),
    Case("resunetpp", "kvasir", 64, 1e-3, 30, options="schedule=cosine"),
    Case("ssformer", "kvasir", 96, 5e-4, 30, 5, options="schedule=cosine"),
    Case("pfan", "duts", 64, 1e-3, 150, options="schedule=cosine,resize=stretch"),
    Case("rfcn", "duts", 64, 2e-4, 120, options="schedule=cosine"),
]


def four(dataset: str, size: int, window: int) -> list[Sample]:
    """Four images of the dataset at the network's size; of roads the densest windows, at native resolution."""
    source = load_dataset(dataset)
    splits: list[Dataset] = [source.split(name) for name in ("train", "val", "test")]
    samples = [split[index] for split in splits for index in range(min(4, len(split)))]
    chosen = [densest(sample, window) if dataset == "deepglobe" else sample for sample in samples[:4]]
    return [at(sample, size) for sample in chosen]


def densest(sample: Sample, side: int) -> Sample:
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
    samples = four(case.dataset, case.size, case.window)
    assert len(samples) == 4 and all(sample.mask.any() for sample in samples)
    options = f"encoder_weights=none,size={case.size},lr={case.lr},batch=4,augment=none,epochs={case.epochs}"
    base: Any = load_base(f"{case.base}[{','.join(filter(None, [options, case.options]))}]")
    base.fit(repeated(samples, case.steps), repeated(samples, 1), tmp_path)
    check(case.base, base, samples)


def check(name: str, base: Any, samples: list[Sample]) -> None:
    found = [iou(probs, sample.mask) for probs, sample in zip(base.predict(samples), samples, strict=True)]
    print(f"{name}: training IoU {np.mean(found):.3f}, least {min(found):.3f}")
    assert np.mean(found) >= REACHED


def episode(data: Path, size: int) -> list[Sample]:
    """The four queries of a real class of five pairs, and its support, at the network's size."""
    split = Fss1000(root=data / "fss1000" / "fewshot_data", shots=1).split("train")
    queries = [split[index] for index in range(4)]
    return [replace(at(query, size), support=tuple(at(pair, size) for pair in query.support)) for query in queries]


@pytest.mark.slow
def test_arn_learns_an_episode_by_heart(data: Path, tmp_path: Path) -> None:
    queries = episode(data, 64)
    # The class under ten names: an epoch of ten episodes.
    train = ToyDataset([replace(query, id=f"class{copy}/{n}") for copy in range(10) for n, query in enumerate(queries)])
    options: dict[str, Any] = {"epochs": 12, "lr": 1e-3, "schedule": "cosine", "clip": 0.0, "augment": "none"}
    base: Any = Arn(size=64, shots=1, queries=4, encoder_weights="none", **options)
    base.fit(train, ToyDataset([], "val"), tmp_path)
    check("arn", base, queries)


@pytest.mark.slow
def test_efficientlab_learns_its_support_by_heart(data: Path, tmp_path: Path) -> None:
    # Its inner loop is what learns: the four images are their own support. Logits are at a quarter of the side.
    queries = episode(data, 96)
    support = tuple(replace(query, support=()) for query in queries)
    queries = [replace(query, support=support) for query in queries]
    train = ToyDataset([replace(query, id=f"class/{number}") for number, query in enumerate(queries)])
    options: dict[str, Any] = {
        "train_steps": 2,
        "inner_steps": 600,
        "inner_lr": 0.05,
        "dropout": 0.0,
        "augment": "none",
    }
    base: Any = EfficientLab(size=96, shots=4, queries=4, epochs=1, encoder_weights="none", **options)
    base.fit(train, ToyDataset([], "val"), tmp_path)
    check("efficientlab", base, queries)
