"""``--limit``: a random sample of each split, the same whatever the order; one that cuts nothing changes nothing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.datasets.fss1000 import held_out_classes
from bench.images import write_map
from tests.bench.datasets.files import write_mask

VAL, TEST = 12, 30


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The rows of a CSV that brings its own splits: 12 val and 30 test images, no train."""
    monkeypatch.chdir(tmp_path)
    found = []
    for number in range(VAL + TEST):
        name = f"n{number:02d}"
        paint(tmp_path / f"{name}.png", number)
        write_mask(tmp_path / f"{name}-mask.png")
        write_map(tmp_path / "maps" / f"{name}.png", np.full((6, 8), 0.4, np.float32))
        split = "val" if number < VAL else "test"
        found.append({"id": name, "image": f"{name}.png", "mask": f"{name}-mask.png", "split": split})
    return found


def paint(path: Path, level: int) -> None:
    Image.fromarray(np.full((6, 8, 3), level, np.uint8)).save(path)


def run(rows: list[dict[str, str]], **options: Any) -> RunResult:
    with Path("pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    wanted = {"refiner": ["threshold"], "base": ["maps[path=maps]"], "dataset": ["folder[csv=pairs.csv]"]}
    return bench.run(**{**wanted, "engine": "inline", "device": "cpu", "store": "store", **options})


def ids(result: RunResult) -> list[str]:
    (found,) = {tuple(cell.ids["test"]) for cell in result.cells}
    return list(found)


def keys(result: RunResult) -> set[str]:
    return {cell.manifest.key for cell in result.cells}


def test_it_is_a_nested_sample_in_the_order_of_the_split(rows: list[dict[str, str]]) -> None:
    few, more = ids(run(rows, limit=5)), ids(run(rows, limit=11))
    assert len(few) == 5 and len(more) == 11 and set(few) < set(more)
    assert more == sorted(more) and more != [f"n{number}" for number in range(VAL, VAL + 11)]
    # The order of the file plays no part in what is drawn.
    backwards = ids(run(rows[::-1], limit=5))
    assert backwards == few[::-1]


def test_records_are_of_the_sample_and_the_table_says_so(rows: list[dict[str, str]]) -> None:
    result = run(rows, limit=5)
    assert {tuple(frame["id"]) for _, frame in result.records().groupby("refiner")} == {tuple(ids(result))}
    assert "(a random sample of 5)" in result.report()


@pytest.mark.parametrize("limit", [TEST, TEST + 1, 10**6])
def test_one_that_cuts_nothing_makes_no_other_cells(limit: int, rows: list[dict[str, str]]) -> None:
    whole = run(rows)
    again = run(rows, limit=limit)
    assert keys(again) == keys(whole) == again.reused
    assert "sample of" not in again.report()


def test_one_that_cuts_val_alone_is_a_limit_for_every_cell(rows: list[dict[str, str]]) -> None:
    """Else the baseline, which has no use for val, would stand in another table than what it is compared with."""
    result = run([row for row in rows if row["split"] == "val" or row["id"] < "n20"], limit=10)
    assert {cell.manifest.limit for cell in result.cells} == {10}


def test_what_lies_beyond_it_plays_no_part(rows: list[dict[str, str]]) -> None:
    first = run(rows, limit=5)
    (outside, *_) = {row["id"] for row in rows if row["split"] == "test"} - set(ids(first))
    paint(Path(f"{outside}.png"), 99)
    assert run(rows, limit=5).reused == keys(first)
    assert not run(rows, store="other").reused
    paint(Path(f"{ids(first)[0]}.png"), 99)
    assert not keys(run(rows, limit=5)) & keys(first)


def test_maps_that_are_missing_are_left_out_before_it_is_drawn(rows: list[dict[str, str]]) -> None:
    gone = ids(run(rows, limit=5))[:2]
    for name in gone:
        Path(f"maps/{name}.png").unlink()
    left = ids(run(rows, limit=5, base=["maps[path=maps,missing=drop]"]))
    assert len(left) == 5 and not set(gone) & set(left)


def test_predict_takes_the_samples_that_a_run_takes(rows: list[dict[str, str]], tmp_path: Path) -> None:
    wanted = ids(run(rows, limit=5))
    options = ["--dataset", "folder[csv=pairs.csv]", "--base", "maps[path=maps]", "--limit", "5", "--split", "test"]
    assert main(["predict", *options, "--out", "found"]) == 0
    assert sorted(path.stem for path in (tmp_path / "found").iterdir()) == sorted(wanted)


def test_an_experiment_finds_its_cells_under_a_limit_that_cut_nothing(
    rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bench.toml").write_text(
        '[experiments.mine]\ndataset = ["folder[csv=pairs.csv]"]\nbase = ["maps[path=maps]"]\n'
        'refiner = ["threshold"]\nlimit = 100\n[experiments.small]\nlimit = 29\ndataset = ["folder[csv=pairs.csv]"]\n'
        'base = ["maps[path=maps]"]\nrefiner = ["threshold"]\n'
    )
    run(rows, experiment="mine", refiner=None, base=None, dataset=None)
    capsys.readouterr()
    assert main(["report", "--store", "store", "--experiment", "mine"]) == 0
    assert "threshold" in capsys.readouterr().out
    assert main(["report", "--store", "store", "--experiment", "small"]) == 2


@pytest.mark.usefixtures("plugins")
def test_of_few_shot_data_it_takes_whole_classes_with_their_support(tmp_path: Path) -> None:
    val, test = held_out_classes()
    for name in ("zebra", *val[:2], *test[:3]):
        for number in range(1, 5):
            draw = np.random.default_rng(number)
            (tmp_path / name).mkdir(exist_ok=True)
            pixels = draw.integers(0, 256, (224, 224, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.jpg")
            Image.fromarray(np.where(pixels > 128, 255, 0).astype(np.uint8)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "bench.toml").write_text(f'[datasets]\nfss1000 = "{tmp_path}"\n')
    options = {"dataset": ["fss1000[shots=1]"], "base": ["counting"], "refiner": ["identity"], "device": "cpu"}
    found = bench.run(**options, limit=5, engine="inline", config=tmp_path / "bench.toml", store=tmp_path / "store")  # type: ignore[arg-type]
    classes = [sample_id.partition("/")[0] for sample_id in ids(found)]
    assert sorted(classes.count(name) for name in set(classes)) == [2, 3]
