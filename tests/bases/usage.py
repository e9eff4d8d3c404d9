"""What the tests of several bases do with one: predict with a checkpoint, look for weights that do not learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.bases.parts.trained import TrainedBase
from bench.contracts import Sample
from tests.weights import changed

SHAPES = ((40, 70), (64, 32))


def samples() -> list[Sample]:
    """Two images of noise, of sizes no network takes."""
    draw = np.random.default_rng(5)
    images = [draw.integers(256, size=(*shape, 3), dtype=np.uint8) for shape in SHAPES]
    return [Sample(str(index), image, np.zeros(image.shape[:2], bool)) for index, image in enumerate(images)]


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    """A checkpoint as DataParallel leaves it."""
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    return path


def check_maps(base: TrainedBase) -> None:
    """Assert that the maps have the images' own sizes, are not all alike, and follow from the file ``base.weights``."""
    assert isinstance(base.weights, Path)
    maps = base.predict(samples())
    same, others = (replace(base, weights=file).predict(samples()) for file in (base.weights, changed(base.weights)))
    for one, again, other in zip(maps, same, others, strict=True):
        np.testing.assert_array_equal(one, again)
        assert np.abs(one - other).max() > 1e-6, "other weights give the same map"
    for sample, probs in zip(samples(), maps, strict=True):
        assert probs.shape == sample.image.shape[:2]
        assert probs.dtype == np.float32
        assert 0 <= probs.min() < probs.max() <= 1


def frozen(network: nn.Module, loss: Tensor) -> list[str]:
    """Names of the parameters that ``loss`` gives no gradient other than zero, after running it backwards."""
    loss.backward()
    gradients: dict[str, Any] = {name: value.grad for name, value in network.named_parameters()}
    return [name for name, grad in gradients.items() if grad is None or not grad.count_nonzero()]
