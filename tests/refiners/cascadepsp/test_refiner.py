from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts import Costed, PubliclyTrained, Tunable, UserError
from bench.refiners.cascadepsp import CascadePsp, network
from bench.refiners.cascadepsp.network import build
from bench.training import save_weights
from tests.refiners.cascadepsp.scenes import scene


def test_without_weights_it_says_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "CACHE", tmp_path / "model")
    with pytest.raises(UserError, match=r"weights are not here.*github\.com/hkchengrex/CascadePSP/releases"):
        CascadePsp()


def test_weights_of_another_origin_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"random weights")
    with pytest.raises(UserError, match="not CascadePSP's released weights"):
        CascadePsp(weights=tmp_path / "model")
    save_weights(torch.nn.Linear(1, 1), tmp_path / "prn.safetensors", {"size": "512"})
    with pytest.raises(UserError, match="another network than CascadePSP"):
        CascadePsp(weights=tmp_path / "prn.safetensors")


def test_the_released_weights_tell_what_they_saw(released: Path) -> None:
    refiner = CascadePsp(weights=released)
    assert isinstance(refiner, PubliclyTrained)
    assert refiner.trained_on == ("MSRA-10K", "DUTS-TR", "DUTS-TE", "ECSSD", "FSS-1000")
    assert not refiner.trainable
    assert isinstance(refiner, Tunable) and isinstance(refiner, Costed)


def test_weights_trained_here_saw_no_public_set(tmp_path: Path) -> None:
    save_weights(build(0), tmp_path / "weights.safetensors", network.METADATA)
    refiner = CascadePsp(weights=tmp_path / "weights.safetensors")
    assert refiner.trained_on == () and not refiner.trainable
    assert CascadePsp(weights="train").trained_on == ()
    assert CascadePsp(weights="train").trainable


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"L": 65}, "at least 66"),
        ({"L": 7, "fast": True}, "at least 8"),
        ({"low_threshold": 0.95}, "low_threshold"),
        ({"batch": 0}, "batch"),
        ({"crop": 36}, "multiple of 8"),
        ({"steps": 0}, "steps"),
        ({"epochs": 0}, "epochs"),
        ({"lr": 0.0}, "learning rate"),
    ],
)
def test_numbers_out_of_range_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CascadePsp(weights="train", **parameters)


def test_hard_cases_keep_the_contract(released: Path) -> None:
    # A line of 98 pixels would have none of them left at L = 96: the package stops there.
    refiner = CascadePsp(weights=released, L=96, low_threshold=0.0)
    sizes = ((1, 1), (1, 98), (30, 3))
    images = [np.full((*size, 3), 128, np.uint8) for size in sizes]
    maps = [np.full(size, value, np.float32) for size, value in zip(sizes, (1.0, 0.0, 0.5), strict=True)]
    refined = refiner.refine(images, maps)
    for probs, found in zip(maps, refined, strict=True):
        assert found.shape == probs.shape and found.dtype == np.float32
        assert found.min() >= 0 and found.max() <= 1
    for found, again in zip(refined, pickle.loads(pickle.dumps(refiner)).refine(images, maps), strict=True):
        np.testing.assert_array_equal(found, again)


def test_the_map_enters_as_a_mask_at_one_half(released: Path) -> None:
    image, probs = scene("oval", 15, 66)
    refiner = CascadePsp(weights=released, L=66, fast=True)
    soft, hard = refiner.refine([image, image], [probs, (probs >= 0.5).astype(np.float32)])
    np.testing.assert_array_equal(soft, hard)
