"""Metrics of another package: installed the way a user's would be, chosen by name, stored and scored."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.config import Grid, load
from bench.contracts import UserError
from bench.execution import plan
from bench.images import write_map
from bench.plugins import metrics as plugged_in
from bench.store import Manifest, PluggedMetric, Store

METRICS = '''
from pathlib import Path

import numpy as np

from bench.contracts import Metric


class Dice(Metric):
    """Dice coefficient."""

    title, meaning, better, scale, digits = "Dice", "twice the overlap over the sum of both", "higher", 100.0, 1

    def __init__(self, *, smooth: float = 0.0):
        self.smooth = smooth

    def __call__(self, probs, mask):
        pred = probs >= 0.5
        total = pred.sum() + mask.sum() + self.smooth
        return float("nan") if total == 0 else (2 * (pred & mask).sum() + self.smooth) / total


class Odd(Dice):
    """Does as badly as it is told."""

    def __init__(self, *, wrong: str = "raises"):
        self.wrong = wrong

    def __call__(self, probs, mask):
        if self.wrong == "raises":
            raise ZeroDivisionError("a defect of the metric")
        if self.wrong == "writes":
            mask[:] = True
        return {"text": "0.5", "none": None, "bool": True, "infinite": float("inf"), "whole": 1}[self.wrong]


class Recall(Metric):
    """Recall at three thresholds: undefined without a foreground, and at the last one where no pixel is so sure."""

    title, meaning, better, scale, digits = "recall", "recall at three thresholds", "higher", 100.0, 1

    def __init__(self, *, summary: str = "max", returned: str = "curve"):
        self.summary, self.returned, self.curve = summary, returned, 3

    def __call__(self, probs, mask):
        with Path("calls").open("a") as calls:
            calls.write("x")
        if mask.all() and Path("broken").exists():
            raise RuntimeError("broken")
        found = [(probs[mask] >= threshold).mean() if mask.any() else np.nan for threshold in (0.25, 0.5, 1)]
        if not (probs == 1).any():
            found[-1] = np.nan
        curve = np.array(found, np.float32)
        wrong = {"short": curve[:2], "whole": np.array([1, 2, 3]), "list": found, "number": 0.5, "square": curve[None]}
        wrong["infinite"] = np.array([0, np.inf, np.nan])
        return wrong.get(self.returned, curve)


class Nameless(Dice):
    """Says nothing about its column."""

    title = None
'''


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "metrics-site"
    info = site / "toy_metrics-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-metrics\nVersion: 1.0\n")
    names = {
        "toy-dice": "Dice",
        "odd": "Odd",
        "nameless": "Nameless",
        "mae": "Dice",
        "images": "Dice",
        "toy-recall": "Recall",
    }
    lines = "".join(f"{name} = toy_metrics:{target}\n" for name, target in names.items())
    (info / "entry_points.txt").write_text(f"[bench.metrics]\n{lines}")
    (site / "toy_metrics.py").write_text(METRICS)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Masks and maps of four images: half right, empty where the mask is, and two right ones."""
    masks, maps = tmp_path / "masks", tmp_path / "maps"
    mask = np.zeros((4, 4), np.bool_)
    for name, (truth, predicted) in {"a": (8, 4), "b": (0, 0), "c": (16, 16), "d": (8, 8)}.items():
        mask.flat[:] = np.arange(16) < truth
        write_map(masks / f"{name}.png", mask.astype(np.float32))
        write_map(maps / f"{name}.png", (np.arange(16).reshape(4, 4) < predicted).astype(np.float32))
    return masks, maps


def run(folders: tuple[Path, Path], *metrics: str, **options: Any) -> RunResult:
    masks, maps = folders
    dataset = f"folder[images={maps},masks={masks},val=0,test=1]"
    return bench.run(
        dataset=[dataset],
        base=[f"maps[path={maps}]"],
        refiner=["identity"],
        metric=metrics or None,
        engine="inline",
        **options,
    )


def planned(folders: tuple[Path, Path], *metrics: str) -> Manifest:
    masks, maps = folders
    dataset = f"folder[images={maps},masks={masks},val=0,test=1]"
    options = Grid.of(dataset=[dataset], base=[f"maps[path={maps}]"], refiner=["identity"], metric=list(metrics))
    (cell,) = plan.cells(options.over(load().defaults), load())
    return cell.manifest


def value(returned: object) -> object:
    made = plugged_in.made(plugged_in.chosen([f"odd[wrong={returned}]"], load()))
    (found,) = plugged_in.values(made, np.ones((2, 2), np.float32), np.ones((2, 2), np.bool_), "here").values()
    return found


def test_records_carry_the_chosen_metrics_by_label(folders: tuple[Path, Path]) -> None:
    result = run(folders, "toy-dice", "toy-dice[smooth=8]")
    (cell,) = result.store.manifests()
    assert list(cell.metrics) == ["toy-dice", "toy-dice[smooth=8.0]"]
    assert cell.metrics["toy-dice"].model_dump() == {
        "title": "Dice",
        "meaning": "twice the overlap over the sum of both",
        "better": "higher",
        "scale": 100.0,
        "digits": 1,
        "curve": 0,
        "summary": "mean",
    }
    records = result.store.records(cell).set_index("id")
    assert records["toy-dice"].dtype == np.float64
    # 2 * 4 / (4 + 8); nothing over nothing; all; all. With 8 on both sides: 16 / 20.
    np.testing.assert_allclose(records["toy-dice"][["a", "b", "c", "d"]], [2 / 3, math.nan, 1, 1])
    np.testing.assert_allclose(records["toy-dice[smooth=8.0]"][["a", "b", "c", "d"]], [16 / 20, 1, 1, 1])


def test_only_a_chosen_metric_is_part_of_the_identity(folders: tuple[Path, Path]) -> None:
    plain, dice, smooth = (planned(folders, *names) for names in ((), ("toy-dice",), ("toy-dice[smooth=1]",)))
    assert len({plain.key, dice.key, smooth.key}) == 3
    assert "plugged_in_metrics" not in plain.identity
    assert {**dice.identity, "plugged_in_metrics": None} == {**plain.identity, "plugged_in_metrics": None}


def test_neither_order_nor_repetition_makes_another_cell(folders: tuple[Path, Path]) -> None:
    names = ["toy-dice", "odd[wrong=whole]"]
    orders = (names, names[::-1], [*names, "toy-dice"])
    assert len({planned(folders, *order).key for order in orders}) == 1


def test_an_experiment_chooses_metrics(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        '[variants.metric]\nsoft = "toy-dice[smooth=8]"\n[experiments.softly]\nmetric = ["soft"]\n'
    )
    result = run(folders, experiment="softly")
    (cell,) = result.store.manifests()
    assert list(cell.metrics) == ["soft"]
    assert result.store.records(cell).set_index("id").loc["a", "soft"] == pytest.approx(16 / 20)


def test_a_metric_that_raises_fails_its_cell_with_one_line(folders: tuple[Path, Path]) -> None:
    result = run(folders, "odd", on_error="skip", store="failing")
    (cell,) = Store("failing").manifests()
    assert cell.status == "failed" and "\n" not in cell.error
    assert "metric 'odd' failed: ZeroDivisionError: a defect of the metric" in cell.error
    assert list(result.failures) == [cell.key]


def test_what_is_no_number_is_refused() -> None:
    assert value("whole") == 1.0
    for returned in ("none", "bool", "infinite", "text"):
        with pytest.raises(UserError, match=r"returned .*: it must return a float, NaN where it is undefined"):
            value(returned)


def test_a_metric_cannot_change_what_others_see() -> None:
    with pytest.raises(UserError, match=r"read-only.* \(metric 'odd.*must copy"):
        value("writes")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("iou", "'iou' is scored always"),
        ("images", "has the name of another column"),
        ("toy-dyce", "did you mean 'toy-dice'?"),
        ("toy-dice[smoth=1]", "did you mean 'smooth'?"),
    ],
)
def test_names_that_cannot_be_columns(name: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        plugged_in.chosen([name], load())
    assert says in str(raised.value) and "--metric" in str(raised.value)


def test_a_column_without_a_title_is_refused_before_anything_runs(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"metric 'nameless': title: .*: give the class title"):
        run(folders, "nameless", store="unmade")
    assert not Path("unmade").exists()


def test_score_adds_columns_to_the_file_and_means(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks, maps = map(str, folders)
    out = tmp_path / "scores.csv"
    assert main(["score", "--masks", masks, "--maps", maps, "--metric", "toy-dice", "--out", str(out)]) == 0
    written = pd.read_csv(out).set_index("id")
    np.testing.assert_allclose(written["toy-dice"][["a", "b", "c", "d"]], [2 / 3, math.nan, 1, 1])
    assert "intersection" not in written
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("toy-dice"))
    assert line.split()[1:] == ["0.8889", "(1", "undefined)"]  # (2/3 + 1 + 1) / 3


RECALLS: dict[str, list[float]] = {"a": [0.5, 0.5, 0.5], "b": [math.nan] * 3, "c": [1, 1, 1], "d": [1, 1, 1]}


def test_a_curve_is_a_list_in_the_records_and_its_summary_in_the_table(folders: tuple[Path, Path]) -> None:
    result = run(folders, "toy-recall", "toy-recall[summary=mean]", "toy-recall[summary=none]")
    (cell,) = result.store.manifests()
    said = [(metric.curve, metric.summary) for metric in cell.metrics.values()]
    assert said == [(3, "max"), (3, "mean"), (3, "none")]
    records = result.records().set_index("id")
    for name in cell.metrics:
        np.testing.assert_allclose(np.stack(records.loc[[*RECALLS], name].to_list()), [*RECALLS.values()])
    (row,) = result.table().to_dict("records")
    assert row["toy-recall"] == row["toy-recall[summary=mean]"] == pytest.approx(2.5 / 3)
    assert "toy-recall[summary=none]" not in row
    assert "recall is undefined for 1 of 4 images, which its mean leaves out" in row["notes"]


def test_a_cell_that_is_gone_on_with_keeps_the_curves_of_its_log(folders: tuple[Path, Path]) -> None:
    Path("broken").touch()
    (failed,) = run(folders, "toy-recall", on_error="skip").store.manifests()
    assert failed.status == "failed" and Path("calls").read_text() == "xxx"  # the third image's mask is full
    Path("broken").unlink()
    records = run(folders, "toy-recall").records().set_index("id")
    assert Path("calls").read_text() == "xxx" + "xx"
    np.testing.assert_allclose(np.stack(records.loc[[*RECALLS], "toy-recall"].to_list()), [*RECALLS.values()])


@pytest.mark.parametrize("returned", ["short", "whole", "list", "number", "square", "infinite"])
def test_what_is_no_curve_of_its_length_is_refused(returned: str) -> None:
    made = plugged_in.made(plugged_in.chosen([f"toy-recall[returned={returned}]"], load()))
    with pytest.raises(UserError, match=r"returned .*: it must return a numpy vector of 3 floats, NaN where"):
        plugged_in.values(made, np.ones((2, 2), np.float32), np.ones((2, 2), np.bool_), "here")


def test_a_metric_of_an_earlier_version_is_a_number() -> None:
    said = {"title": "Dice", "meaning": "overlap", "better": "higher", "scale": 100.0, "digits": 1}
    found = PluggedMetric.model_validate(said)
    assert (found.curve, found.summary) == (0, "mean")


def test_score_writes_curves_and_prints_their_summary(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks, maps = map(str, folders)
    out = tmp_path / "scores.csv"
    options = ["--metric", "toy-recall", "toy-recall[summary=none]", "--out", str(out)]
    assert main(["score", "--masks", masks, "--maps", maps, *options]) == 0
    written = pd.read_csv(out).set_index("id")
    for name in ("toy-recall", "toy-recall[summary=none]"):
        np.testing.assert_allclose([json.loads(str(written.loc[key, name])) for key in RECALLS], [*RECALLS.values()])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("toy-recall")]
    assert lines == [["toy-recall", "0.8333", "(1", "undefined)"]]
