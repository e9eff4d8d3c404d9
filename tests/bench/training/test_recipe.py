"""Optimisers, schedules, accumulation, augmentation and several processes do what a recipe says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training import Batch, Recipe, TrainingArrays, load_weights, seeded, train


def network() -> nn.Module:
    with seeded(0):
        return nn.Conv2d(1, 1, 3, padding=1)


def loss(network: nn.Module, batch: Batch) -> Tensor:
    return F.mse_loss(network(batch["x"]), batch["y"])


def arrays(folder: Path, count: int = 8) -> TrainingArrays:
    def fill(index: int) -> dict[str, np.ndarray]:
        x = np.random.default_rng(index).random((1, 6, 6), dtype=np.float32)
        return {"x": x, "y": 2 * x - 0.5}

    fields: dict[str, Any] = {"x": ((1, 6, 6), np.float32), "y": ((1, 6, 6), np.float32)}
    return TrainingArrays.build(folder / "data", count, fields, fill, "samples")


def run(folder: Path, count: int = 8, **changes: Any) -> list[dict[str, float]]:
    options: dict[str, Any] = {"epochs": 4, "batch": 2, "lr": 0.05}
    extra = {key: changes.pop(key) for key in ("augment", "groups", "validate") if key in changes}
    train(
        network(),
        loss,
        arrays(folder, count),
        Recipe(**(options | changes)),
        workdir=folder,
        device="cpu",
        seed=0,
        title="test",
        **extra,
    )
    with (folder / "training.csv").open() as file:
        return [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]


def rates(rows: list[dict[str, float]]) -> list[float]:
    return [row["lr"] for row in rows]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "sgd"])
def test_every_optimiser_learns(tmp_path: Path, optimizer: str) -> None:
    rows = run(tmp_path, optimizer=optimizer, epochs=8)
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def test_poly_falls_to_its_floor_by_the_step(tmp_path: Path) -> None:
    rows = run(tmp_path, schedule="poly", power=3.0, lr=0.1, lr_end=0.01)
    # 16 steps; the rate after each epoch's last one.
    expected = [0.01 + 0.09 * (1 - step / 16) ** 3 for step in (4, 8, 12, 16)]
    assert rates(rows) == pytest.approx(expected, rel=1e-5)


def test_step_drops_every_so_many_epochs(tmp_path: Path) -> None:
    rows = run(tmp_path, schedule="step", drop=0.5, drop_after=2, epochs=5, lr=0.08)
    # The rate that the next epoch begins with.
    assert rates(rows) == pytest.approx([0.08, 0.04, 0.04, 0.02, 0.02])


def test_plateau_drops_where_the_monitored_value_stays(tmp_path: Path) -> None:
    values = iter([0.1, 0.2, 0.2, 0.2, 0.2, 0.3])
    rows = run(
        tmp_path, schedule="plateau", drop=0.1, drop_after=1, epochs=6, lr=0.1, validate=lambda network: next(values)
    )
    # Stale in epochs 3, 4 and 5: more than one stale epoch lowers the rate of the next.
    assert rates(rows) == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_stale_drops_after_every_epoch_that_is_one_too_many(tmp_path: Path) -> None:
    # The count of stale epochs:     0    1    2    3    4    0    1    2
    values = iter([0.2, 0.2, 0.1, 0.2, 0.0, 0.3, 0.3, 0.3, 0.3])
    rows = run(
        tmp_path,
        schedule="stale",
        drop=0.5,
        drop_after=2,
        lr_end=0.03,
        epochs=9,
        lr=0.16,
        validate=lambda network: next(values),
    )
    assert rates(rows) == pytest.approx([0.16, 0.16, 0.16, 0.16, 0.08, 0.04, 0.04, 0.04, 0.04])


def test_accumulated_batches_step_like_one_large_batch(tmp_path: Path) -> None:
    common: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.0, "augment": "none", "epochs": 2}
    first, second = tmp_path / "first", tmp_path / "second"
    run(first, batch=4, **common)
    run(second, batch=2, accumulate=2, **common)
    whole, parts = network(), network()
    load_weights(whole, first / "weights.safetensors")
    load_weights(parts, second / "weights.safetensors")
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    run(tmp_path, optimizer="sgd", momentum=0.0, lr=1.0, clip=1e-3, epochs=1, batch=8, schedule="constant")
    trained, before = network(), network()
    load_weights(trained, tmp_path / "weights.safetensors")
    moved = [(a - b).flatten() for a, b in zip(trained.parameters(), before.parameters(), strict=True)]
    assert torch.cat(moved).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_groups_have_rates_of_their_own_and_what_is_in_none_stays(tmp_path: Path) -> None:
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    train(
        module,
        loss,
        arrays(tmp_path),
        Recipe(epochs=1, batch=8, lr=0.1),
        workdir=tmp_path,
        device="cpu",
        seed=0,
        title="test",
        groups=[{"params": [module.bias], "lr": 0.5}],
    )
    assert torch.equal(module.state_dict()["weight"], before["weight"])
    # Adam's first step is the rate itself.
    assert (module.state_dict()["bias"] - before["bias"]).abs().item() == pytest.approx(0.5, rel=1e-3)


def test_an_augmentation_of_ones_own_is_drawn_anew_for_each_sample_and_epoch(tmp_path: Path) -> None:
    drawn: list[float] = []

    def augment(sample: Batch) -> Batch:
        drawn.append(float(torch.rand(())))
        return sample

    run(tmp_path / "first", augment=augment, epochs=2)
    assert len(set(drawn)) == 16
    again, drawn[:] = list(drawn), []
    run(tmp_path / "second", augment=augment, epochs=2)
    assert drawn == again


@pytest.mark.slow
def test_two_processes_step_like_one_with_batches_of_both(tmp_path: Path) -> None:
    common: dict[str, Any] = {"optimizer": "sgd", "momentum": 0.0, "augment": "none", "epochs": 3}
    alone = run(tmp_path / "one", batch=4, **common)
    shared = run(tmp_path / "two", batch=2, devices=2, **common)
    for key in ("loss", "lr"):
        assert [row[key] for row in shared] == pytest.approx([row[key] for row in alone], rel=1e-5)
    one, two = network(), network()
    load_weights(one, tmp_path / "one" / "weights.safetensors")
    load_weights(two, tmp_path / "two" / "weights.safetensors")
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-5)


def test_losses_are_logged_for_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = run(tmp_path, epochs=3)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("loss")]
    assert logged == pytest.approx([row["loss"] for row in rows], rel=1e-4)
