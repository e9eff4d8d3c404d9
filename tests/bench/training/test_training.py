"""The training loop: same seed, same weights, killed or not; the best epoch is kept; the samples are as promised."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import UserError
from bench.training import Batch, Recipe, TrainingArrays, load_finished, load_weights, save_weights, seeded, train

SIDE, COUNT = 8, 10
RECIPE = Recipe(epochs=5, batch=4, lr=1e-2)


class KilledError(Exception):
    """Stands for SIGKILL: nothing of ours catches it."""


def build(folder: Path, count: int = COUNT) -> TrainingArrays:
    draw = np.random.default_rng(0)
    images = draw.random((COUNT, 1, SIDE, SIDE), dtype=np.float32)
    fields = {"image": ((1, SIDE, SIDE), np.float32), "mask": ((SIDE, SIDE), np.bool_), "number": ((), np.int64)}
    return TrainingArrays.build(
        folder, count, fields, lambda i: {"image": images[i], "mask": images[i, 0] > 0.5, "number": np.array(i)}, "test"
    )


def network() -> nn.Module:
    # Dropout draws random numbers, batch norm has buffers: both have to survive a kill.
    with seeded(3):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.Conv2d(4, 1, 3, padding=1)
        )


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch["image"])[:, 0].float(), batch["mask"].float())


def killed_after(steps: int) -> Callable[[nn.Module, Batch], Tensor]:
    left = steps

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        nonlocal left
        if left == 0:
            raise KilledError
        left -= 1
        return cross_entropy(model, batch)

    return loss


def run(
    workdir: Path,
    *,
    loss: Callable[[nn.Module, Batch], Tensor] = cross_entropy,
    recipe: Recipe = RECIPE,
    seed: int = 0,
    validate: Callable[[nn.Module], float] | None = None,
    finish: Callable[[nn.Module], None] | None = None,
) -> dict[str, Tensor]:
    model = network()
    train(
        model,
        loss,
        build(workdir / "arrays"),
        recipe,
        workdir=workdir,
        device="cpu",
        seed=seed,
        title="a test",
        validate=validate,
        finish=finish,
    )
    return model.state_dict()


def log(workdir: Path) -> list[dict[str, str]]:
    with (workdir / "training.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path: Path, precision: str) -> None:
    recipe = Recipe(epochs=5, batch=4, lr=1e-2, precision="bf16-mixed" if precision == "bf16-mixed" else "32-true")
    whole = run(tmp_path / "whole", recipe=recipe)
    for steps in (2, 4, 6):  # three steps an epoch: dies in epochs 1, 2 and 4
        with pytest.raises(KilledError):
            run(tmp_path / "killed", loss=killed_after(steps), recipe=recipe)
    assert same(whole, run(tmp_path / "killed", recipe=recipe))
    assert [row["loss"] for row in log(tmp_path / "whole")] == [row["loss"] for row in log(tmp_path / "killed")]


def test_a_kill_after_the_last_epoch_costs_no_training(tmp_path: Path) -> None:
    def die(model: nn.Module) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        run(tmp_path / "killed", finish=die)
    resumed = run(tmp_path / "killed", loss=killed_after(0))
    assert same(run(tmp_path / "whole"), resumed)


def test_seeds_decide(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path / str(i), seed=seed) for i, seed in enumerate((0, 0, 1)))
    assert same(first, again)
    assert not same(first, other)


def test_the_callers_random_state_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_it_learns_and_logs_every_epoch(tmp_path: Path) -> None:
    run(tmp_path, recipe=Recipe(epochs=8, batch=4, lr=1e-2, lr_end=1e-4))
    rows = log(tmp_path)
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(1, 9)]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) < 1
    # The rate after epoch e is half a cosine from lr to lr_end.
    expected = [1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * epoch / 8)) / 2 for epoch in range(1, 9)]
    assert [float(row["lr"]) for row in rows] == pytest.approx(expected, rel=1e-4)


def test_a_finished_training_leaves_weights_and_log_alone_and_is_loaded(tmp_path: Path) -> None:
    trained = run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {"tensorboard"} == {"training.csv", "weights.safetensors"}
    loaded = network()
    assert load_finished(loaded, tmp_path)
    assert not loaded.training
    assert same(trained, loaded.state_dict())
    assert same(trained, run(tmp_path, loss=killed_after(0)))
    assert not load_finished(network(), tmp_path / "elsewhere")


def test_the_best_validated_epoch_is_kept_and_patience_ends_the_training(tmp_path: Path) -> None:
    values, seen = iter([0.1, 0.5, 0.4, 0.3, 0.9]), []

    def validate(model: nn.Module) -> float:
        assert not model.training
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(values)

    kept = run(tmp_path, recipe=Recipe(epochs=9, batch=4, lr=1e-2, patience=2), validate=validate)
    assert [row["validation"] for row in log(tmp_path)] == ["0.1", "0.5", "0.4", "0.3"]
    assert same(kept, seen[1])


def test_a_resumed_training_remembers_its_patience(tmp_path: Path) -> None:
    def die(model: nn.Module) -> None:
        raise KilledError

    recipe = Recipe(epochs=9, batch=4, lr=1e-2, patience=2)
    values = iter([0.5, 0.4, 0.3])
    with pytest.raises(KilledError):
        run(tmp_path, recipe=recipe, validate=lambda _: next(values), finish=die)
    run(tmp_path, recipe=recipe, validate=lambda _: next(values))  # a fourth epoch would exhaust the values
    assert len(log(tmp_path)) == 3


def test_without_validation_the_lowest_training_loss_counts(tmp_path: Path) -> None:
    # A loss that the parameters do not lower: it falls in epoch 2 and rises after it.
    plan, states = iter(value for value in (3.0, 1.0, 2.0, 2.0) for _ in range(3)), []

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        drift = torch.cat([parameter.flatten() for parameter in model.parameters()]).sum()
        return next(plan) + drift - drift.detach()

    kept = run(tmp_path, loss=loss, recipe=Recipe(epochs=9, batch=4, lr=1e-2, patience=2))
    assert [row["loss"] for row in log(tmp_path)] == ["3", "1", "2", "2"]
    assert same(kept, states[6])  # as epoch 3 found them


def test_finish_changes_what_is_saved(tmp_path: Path) -> None:
    def finish(model: nn.Module) -> None:
        with torch.no_grad():
            next(model.parameters()).fill_(0.25)

    run(tmp_path, finish=finish)
    loaded = network()
    load_finished(loaded, tmp_path)
    assert (next(loaded.parameters()) == 0.25).all()


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss is nan in epoch 1 \(a test\): .*lower lr"):
        run(tmp_path, loss=lambda model, batch: cross_entropy(model, batch) * math.nan)
    assert not (tmp_path / "weights.safetensors").exists()


def test_it_prints_nothing_where_there_is_no_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_samples_turn_jointly_and_every_turn_occurs(tmp_path: Path) -> None:
    data = build(tmp_path)
    seen = {data.sample(0, turn)["image"].numpy().tobytes() for turn in range(8)}
    assert len(seen) == 8
    upright = data.sample(0)
    for turn in range(8):
        sample = data.sample(0, turn)
        assert torch.equal(sample["image"][0] > 0.5, sample["mask"])
        assert sample["number"] == 0
        assert torch.equal(sample["image"].flatten().sort().values, upright["image"].flatten().sort().values)


def test_an_epoch_shows_every_sample_once_in_its_own_order(tmp_path: Path) -> None:
    epochs: list[list[int]] = [[]]

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if len(epochs[-1]) == COUNT:
            epochs.append([])
        epochs[-1].extend(batch["number"].tolist())
        return cross_entropy(model, batch)

    run(tmp_path, loss=loss)
    assert len(epochs) == RECIPE.epochs
    assert all(sorted(order) == list(range(COUNT)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == RECIPE.epochs


def test_arrays_are_built_once_and_anew_where_the_plan_differs(tmp_path: Path) -> None:
    built = 0

    def fill(index: int) -> dict[str, np.ndarray]:
        nonlocal built
        built += 1
        if built == 2:
            raise KilledError
        return {"x": np.full(2, index)}

    for count, expected in ((3, None), (3, 5), (3, 5), (2, 7)):
        if expected is None:
            with pytest.raises(KilledError):
                TrainingArrays.build(tmp_path, count, {"x": ((2,), np.int64)}, fill, "test")
        else:
            data = TrainingArrays.build(tmp_path, count, {"x": ((2,), np.int64)}, fill, "test")
            assert (len(data), built) == (count, expected)
            assert [batch["x"][:, 0].tolist() for batch in data.batches(2)] == [[0, 1], [2]][: -(-count // 2)]


def test_no_samples_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no samples to train on"):
        build(tmp_path, count=0)


def test_a_field_that_is_not_square_cannot_turn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows and columns"):
        TrainingArrays.build(tmp_path, 1, {"x": ((3, 4), np.int64)}, lambda _: {}, "test")


def test_seeded_fixes_the_weights_and_nothing_else() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first, again = network(), network()
    assert torch.equal(torch.rand(2), expected)
    assert same(first.state_dict(), again.state_dict())


def test_weights_of_another_network_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(UserError, match="no such weights"):
        load_weights(network(), path)
    save_weights(nn.Linear(2, 2), path)
    with pytest.raises(UserError, match="weights of another network"):
        load_weights(network(), path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="unreadable weights"):
        load_weights(nn.Linear(2, 2), path)
