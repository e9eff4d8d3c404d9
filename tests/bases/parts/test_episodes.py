from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from torch import Tensor, nn

from bench.bases.parts.episodes import FewShotBase
from bench.bases.parts.origin import Origin
from bench.contracts import Sample, UserError
from bench.datasets.subset import Joined, Subset
from bench.training import Batch
from bench.training.inference import Model
from bench.training.recipe import Precision
from tests.bases.few_shot import LEVEL, queries
from tests.toys import ToyDataset


@dataclass(kw_only=True)
class Recorder(FewShotBase):
    """Remembers what it is given. Its answer to a query is the mean of the support's masks."""

    origin: ClassVar[Origin] = Origin(paper="none")
    size: int = 32
    epochs: int = 1
    batch: int = 1
    lr: float = 1e-3
    precision: Precision = "32-true"
    episodes: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    supports: list[Tensor] = field(default_factory=list)

    def network(self) -> nn.Module:
        return nn.Conv2d(3, 1, 1)

    def augmentation(self) -> None:
        """None."""

    def batch_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        self.episodes += [(batch["image"][0].clone(), batch["mask"][0].clone())]
        return network(batch["image"][0].float() / 255).mean()

    def episode_model(self, network: nn.Module, images: Tensor, masks: Tensor) -> Model:
        self.supports.append(images)
        answer = masks.float().mean(0, keepdim=True)
        return lambda pixels: answer.expand(len(pixels), 1, *pixels.shape[2:])


def numbers(images: Tensor) -> list[int]:
    return (images[:, 1, 0, 0] // LEVEL).tolist()


def validation(folder: Path) -> float:
    with (folder / "training.csv").open() as file:
        return float(list(csv.DictReader(file))[-1]["validation"])


def test_an_epoch_draws_one_episode_of_every_class(tmp_path: Path) -> None:
    train = ToyDataset([*queries("yak", 100, shots=2, pairs=7), *queries("zebra", 200, shots=2, pairs=7)])
    base = Recorder(shots=3, queries=4, epochs=3)
    base.fit(train, Subset(train, []), tmp_path / "one")
    assert len(base.episodes) == 6
    draws = []
    for images, masks in base.episodes:
        assert images.shape == (7, 3, 32, 32) and masks.shape == (7, 1, 32, 32)
        assert len(set(images[:, 0].flatten().tolist())) == 1  # one class
        assert sorted(numbers(images)) == [1, 2, 3, 4, 5, 6, 7]
        assert masks.sum((1, 2, 3)).tolist() == [32 * number for number in numbers(images)]
        draws.append(numbers(images))
    assert {int(images[0, 0, 0, 0]) for images, _ in base.episodes[:2]} == {100, 200}
    assert len({tuple(draw) for draw in draws}) > 3  # anew for each
    again = Recorder(shots=3, queries=4, epochs=3)
    again.fit(train, Subset(train, []), tmp_path / "two")
    assert [numbers(images) for images, _ in again.episodes] == draws


def test_a_small_class_repeats_queries_but_never_shows_one_as_support(tmp_path: Path) -> None:
    train = ToyDataset([*queries("yak", 100, shots=2, pairs=4), *queries("zebra", 200, shots=2, pairs=7)])
    base = Recorder(shots=3, queries=4, epochs=2)
    base.fit(train, Subset(train, []), tmp_path)
    small = [numbers(images) for images, _ in base.episodes if images[0, 0, 0, 0] == 100]
    for drawn in small:
        assert len(set(drawn[:3])) == 3 and set(drawn[3:]) == {1, 2, 3, 4} - set(drawn[:3])


def test_turns_move_a_whole_episode_together(tmp_path: Path) -> None:
    train = ToyDataset(queries("yak", 100, shots=2, pairs=5))
    base = Recorder(shots=2, queries=3, epochs=12, augment="turns")
    base.fit(train, Subset(train, []), tmp_path)
    seen = set()
    for images, masks in base.episodes:
        assert masks.sum((1, 2, 3)).tolist() == [32 * number for number in numbers(images)]
        sides = {(bool(mask[0, :, 0].all()), bool(mask[0, :, -1].all()), bool(mask[0, 0].all())) for mask in masks}
        assert len(sides) == 1
        seen |= sides
    assert len(seen) > 1


def test_val_is_answered_from_its_own_support(tmp_path: Path) -> None:
    train = ToyDataset(queries("yak", 100, shots=1, pairs=4))
    val = ToyDataset([*queries("ant", 1, shots=1, pairs=3), *queries("bee", 2, shots=1, pairs=2)], "val")
    base = Recorder(shots=1, queries=2)
    base.fit(train, val, tmp_path)
    assert [numbers(support) for support in base.supports] == [[1], [1]]
    # The answer is column 1; the queries' masks are columns 1..2 and 1..3 of ant, 1..2 of bee.
    assert validation(tmp_path) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3, abs=1e-6)


def test_val_classes_are_evenly_spread(tmp_path: Path) -> None:
    train = ToyDataset(queries("yak", 100, shots=1, pairs=4))
    val = ToyDataset([one for code in range(6) for one in queries(f"c{code}", code, shots=1, pairs=2)], "val")
    base = Recorder(shots=1, queries=2, val_classes=3)
    base.fit(train, val, tmp_path)
    assert [int(support[0, 0, 0, 0]) for support in base.supports] == [0, 2, 4]


def test_train_and_val_together(tmp_path: Path) -> None:
    train, val = (
        ToyDataset(queries("yak", 100, shots=2, pairs=4)),
        ToyDataset(queries("ant", 1, shots=2, pairs=4), "val"),
    )
    base = Recorder(shots=2, queries=2)
    base.fit(Joined(train, val), Subset(val, []), tmp_path)
    assert {int(images[0, 0, 0, 0]) for images, _ in base.episodes} == {1, 100}


def test_a_support_set_is_learnt_once_for_its_queries_in_turn(tmp_path: Path) -> None:
    yak, ant = queries("yak", 100, shots=2, pairs=5), queries("ant", 1, shots=1, pairs=3)
    base = Recorder(shots=2, queries=2)
    base.fit(ToyDataset(yak), Subset(ToyDataset(yak), []), tmp_path)
    maps = base.predict([*yak, *ant])
    assert [len(support) for support in base.supports] == [2, 1]
    expected = np.zeros((32, 32), np.float32)
    expected[:, 0], expected[:, 1] = 1.0, 0.5
    np.testing.assert_allclose(maps[0], expected, atol=1e-6)
    np.testing.assert_array_equal(maps[-1], ant[0].support[0].mask)
    for sample in yak:  # one call a query, as the harness does
        base.predict([sample])
    assert len(base.supports) == 3
    base.predict([yak[-1]])
    assert len(base.supports) == 4  # a query that comes again pays again: a warm-up must not hide the cost


def test_maps_have_the_queries_sizes(tmp_path: Path) -> None:
    (small,) = queries("yak", 1, shots=1, pairs=2)
    wide = Sample(small.id, np.zeros((40, 70, 3), np.uint8), np.zeros((40, 70), np.bool_), small.support)
    base = Recorder(shots=1, queries=1)
    base.fit(ToyDataset([small]), Subset(ToyDataset([small]), []), tmp_path)
    (found,) = base.predict([wide])
    assert found.shape == (40, 70) and found.dtype == np.float32


def test_samples_without_support_are_refused(tmp_path: Path) -> None:
    plain = ToyDataset([Sample("a/1", np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.bool_))], name="kvasir")
    base = Recorder()
    with pytest.raises(UserError, match=r"without support.*\(kvasir\).*fss1000"):
        base.fit(plain, Subset(plain, []), tmp_path)
    own = ToyDataset(queries("yak", 1, shots=1, pairs=3))
    fitted = Recorder(shots=1, queries=1)
    fitted.fit(own, Subset(own, []), tmp_path / "own")
    with pytest.raises(UserError, match=r"without support.*\(a/1\).*fss1000"):
        fitted.predict([plain[0]])


def test_classes_that_make_no_episode_are_refused(tmp_path: Path) -> None:
    train = ToyDataset(queries("yak", 1, shots=2, pairs=4))
    with pytest.raises(UserError, match=r"4 pairs.*yak/3.*shots=3"):
        Recorder(shots=4).fit(train, Subset(train, []), tmp_path / "few")
    uneven = ToyDataset([*queries("yak", 1, shots=2, pairs=4), *queries("ant", 1, shots=1, pairs=4)])
    with pytest.raises(UserError, match=r"support of 1 where others have 2.*ant/2"):
        Recorder(shots=2, queries=2).fit(uneven, Subset(uneven, []), tmp_path / "uneven")


def test_numbers_too_small() -> None:
    for name, make in {
        "shots": lambda: Recorder(shots=0),
        "queries": lambda: Recorder(queries=0),
        "val_classes": lambda: Recorder(val_classes=-1),
    }.items():
        with pytest.raises(UserError, match=name):
            make()
