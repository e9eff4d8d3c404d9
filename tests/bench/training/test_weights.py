"""A weights file says of itself what network it is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.contracts import UserError
from bench.training import Recipe, TrainingArrays, load_weights, read_metadata, save_weights, seeded, train

METADATA = {"size": "64", "name": "prün"}


def test_what_was_saved_is_read_and_the_weights_stay_loadable(tmp_path: Path) -> None:
    with seeded(0):
        network, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(network, tmp_path / "w.safetensors", METADATA)
    assert read_metadata(tmp_path / "w.safetensors") == METADATA
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.weight, network.weight)


@pytest.mark.parametrize("broken", ["absent", "folder", "empty", "cut", "says nothing"])
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "w.safetensors"
    if broken == "folder":
        path.mkdir()
    if broken == "empty":
        path.touch()
    if broken in ("cut", "says nothing"):
        save_weights(nn.Linear(2, 2), path, METADATA if broken == "cut" else None)
    if broken == "cut":
        path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(UserError, match=r"w\.safetensors") as error:
        read_metadata(path)
    assert "\n" not in str(error.value)


def test_a_training_writes_it(tmp_path: Path) -> None:
    fields = {"x": ((1, 4, 4), np.float32)}
    data = TrainingArrays.build(tmp_path / "arrays", 2, fields, lambda i: {"x": np.full((1, 4, 4), i)}, "test")
    with seeded(0):
        network = nn.Conv2d(1, 1, 1)
    train(
        network,
        lambda model, batch: F.mse_loss(model(batch["x"]), batch["x"]),
        data,
        Recipe(epochs=1, batch=2, lr=1e-3),
        workdir=tmp_path,
        device="cpu",
        seed=0,
        title="test",
        metadata=METADATA,
    )
    assert read_metadata(tmp_path / "weights.safetensors") == METADATA
