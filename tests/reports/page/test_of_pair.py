"""The page of two stores side by side."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.cli import main
from bench.images import webp
from bench.store import Store
from bench.store.kept import KeptImage
from tests.reports.page.stores import BASE, GAINS, HOSTILE, LATER, REFINER, base_map, hostile
from tests.reports.page.test_write import ROADS, chunk, row, rows, unpacked
from tests.reports.stores import add, records

IOU = np.random.default_rng(0).beta(8, 1.5, 120)
MOVED = IOU + np.random.default_rng(1).normal(-0.01, 0.02, 120)


@pytest.fixture(scope="module")
def hostiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    one = hostile(folder / "a<i>")
    other = hostile(folder / "b", gains=LATER, refined_map=base_map())
    add(other, "new", records(BASE, id=list(HOSTILE)))
    return bench.compare(one.address, other.address).page(folder / "page").parent


def filled(folder: Path, name: str, cells: dict[str, Any], **fields: Any) -> str:
    store = Store(folder / name)
    for place, (refiner, values) in enumerate(cells.items()):
        add(store, refiner, values, position=place, **fields)
    return store.address


def page_of(folder: Path, one: str, other: str) -> Path:
    return bench.compare(one, other).page(folder / "page").parent


def shown(folder: Path) -> dict[str, dict[str, Any]]:
    """By refiner, the row as CSV has it."""
    texts = chunk(folder, "texts")
    lines = texts["blocks"][0]["heading"] + "".join(block["csv"] for block in texts["blocks"])
    return {line["refiner"]: line for line in csv.DictReader(lines.splitlines())}


def values(folder: Path, refiner: str, side: str) -> list[float | None]:
    found = row(folder, refiner=refiner)
    step = next(measure["step"] for measure in found["measures"] if measure["key"] == "iou")
    return [None if one is None else one * step / 100 for one in unpacked(chunk(folder, found[side])["iou"])]


def text_of(folder: Path) -> str:
    texts: list[str] = []

    class Text(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

    Text().feed((folder / "index.html").read_text())
    return " ".join(" ".join(texts).split())


def test_a_difference_is_that_of_bench_compare(tmp_path: Path) -> None:
    a, b = (filled(tmp_path, name, {"prn": iou}) for name, iou in (("a", IOU), ("b", MOVED)))
    folder = page_of(tmp_path, a, b)
    (sheet,) = (one for one in json.loads(bench.compare(a, b).report("json"))["sheets"] if one["key"] == "changes")
    (known,) = sheet["rows"]
    found = shown(folder)["prn"]
    assert found["verdict"] == known["verdict"] == "regressed"
    for end in ("a", "b", "change", "low", "high"):
        assert float(found[f"iou_{end}"]) == pytest.approx(known[end], abs=1e-12)
    change = MOVED - IOU
    assert float(found["iou_change"]) == pytest.approx(change.mean())
    assert (int(found["iou_wins"]), int(found["iou_losses"])) == ((change > 0.01).sum(), (change < -0.01).sum())
    assert values(folder, "prn", "before") == pytest.approx(IOU, abs=1e-6)
    assert values(folder, "prn", "after") == pytest.approx(MOVED, abs=1e-6)
    assert "regressed: mIoU" in text_of(folder)


def test_seeds_that_both_have_are_one_row_and_its_verdict_is_the_worst(tmp_path: Path) -> None:
    for name, by_seed in (("a", (IOU, IOU, IOU)), ("b", (IOU, MOVED))):
        for seed, iou in enumerate(by_seed):
            filled(tmp_path, name, {"prn": iou}, seed=seed)
    folder = page_of(tmp_path, str(tmp_path / "a"), str(tmp_path / "b"))
    found = shown(folder)
    assert len(found) == 1 and found["prn"]["verdict"] == "regressed" and found["prn"]["changed"] == "120"
    assert float(found["prn"]["iou_change"]) == pytest.approx((MOVED - IOU).mean() / 2)
    behind = row(folder, refiner="prn")
    assert behind["seeds"] == [0, 1] and "seed 2 in A alone: not in B" in behind["said"]
    assert "regressed: mIoU (seed 1)" in behind["said"]
    assert values(folder, "prn", "after") == pytest.approx((IOU + MOVED) / 2, abs=1e-6)


def test_what_one_store_has_alone(tmp_path: Path) -> None:
    a = filled(tmp_path, "a", {"identity": IOU, "old": IOU, "crf": IOU})
    b = filled(tmp_path, "b", {"identity": IOU, "new": MOVED})
    add(Store(b), "crf", None, status="failed", error="no memory")
    folder = page_of(tmp_path, a, b)
    found = shown(folder)
    said = {"identity": "equal, bit for bit", "old": "in A alone", "crf": "failed in B", "new": "in B alone"}
    assert {name: line["verdict"] for name, line in found.items()} == said
    assert found["old"]["iou_a"] and not found["old"]["iou_b"] and not found["old"]["iou_change"]
    assert found["new"]["iou_b"] and not found["new"]["iou_a"]
    assert row(folder, refiner="old")["after"] is None and row(folder, refiner="new")["before"] is None
    assert row(folder, refiner="crf")["said"].endswith("seed 0 in A alone: failed: no memory in B")


def test_an_image_with_a_value_in_one_store_is_in_no_mean(tmp_path: Path) -> None:
    a = filled(tmp_path, "a", {"prn": records([0.5, 0.6, 0.7], mae=[0.1, 0.2, np.nan])})
    b = filled(tmp_path, "b", {"prn": records([0.5, 0.6, 0.7], mae=[0.3, 0.2, 0.9])})
    found = shown(page_of(tmp_path, a, b))["prn"]
    numbers = [float(found[f"mae_{end}"]) for end in ("a", "b", "change")]
    assert numbers == pytest.approx([0.15, 0.25, 0.1])


def test_a_set_has_an_interval_too(tmp_path: Path) -> None:
    """IoU of the summed counts: no mean over images, yet what is drawn anew are images."""
    inside = np.arange(60) + 10
    a = filled(tmp_path, "a", {"prn": records([0.5] * 60, intersection=inside, union=100)})
    b = filled(tmp_path, "b", {"prn": records([0.5] * 60, intersection=inside + 5, union=100)})
    found = shown(page_of(tmp_path, a, b))["prn"]
    assert float(found["iou_dataset_change"]) == pytest.approx(0.05)
    assert [float(found[f"iou_dataset_{end}"]) for end in ("low", "high")] == pytest.approx([0.05, 0.05])


def test_the_same_content_is_no_difference(tmp_path: Path) -> None:
    cells = {"identity": IOU, "prn": MOVED}
    a, b = (filled(tmp_path, name, cells) for name in "ab")
    folder = page_of(tmp_path, a, b)
    assert {one["verdict"] for one in rows(folder)} == {"equal, bit for bit"}
    said = text_of(folder)
    assert "No difference: 2 compared cells, all equal bit for bit." in said
    assert "Differs nothing in code, parameters and environment" in said
    again = bench.compare(a, b).page(tmp_path / "again").parent
    both = [{path.relative_to(one): path.read_bytes() for path in one.rglob("*.*")} for one in (folder, again)]
    assert both[0] == both[1]


def test_costs_and_what_differs_in_the_manifests(tmp_path: Path) -> None:
    def run(name: str, commit: str, size: int, seconds: float) -> str:
        environment = {"commit": commit, "versions": {"torch": "2.0"}, "index": f"https://me:pw{size}@host/x"}
        identity = {"base": "weights", "test": "files", "metrics": 1, "refiner": {"parameters": {"size": size}}}
        cells = {"prn": records(list(IOU), seconds=seconds)}
        return filled(tmp_path, name, cells, environment=environment, identity=identity)

    folder = page_of(tmp_path, run("a", "0123", 64, 0.2), run("b", "4567", 96, 0.5))
    behind = row(folder, refiner="prn")
    assert ["environment.commit", "0123", "4567"] in behind["differing"]
    assert ["identity.refiner.parameters.size", "64", "96"] in behind["differing"]
    assert not any("torch" in entry[0] for entry in behind["differing"])
    found = shown(folder)["prn"]
    assert (float(found["seconds_a"]), float(found["seconds_b"])) == (0.2, 0.5)
    said = text_of(folder)
    assert "identity.refiner.parameters.size 64 96 all" in said and "2.50" in said
    assert "me:pw" not in (folder / "index.html").read_text() + json.dumps(behind)
    assert ["environment.index", "https://***@host/x"] not in behind["differing"]  # what is hidden does not differ


def test_pictures_are_the_refined_maps_of_both(hostiles: Path) -> None:
    pictures = row(hostiles, refiner=REFINER, **ROADS)["pictures"]
    assert [picture["id"] for picture in pictures] == list(HOSTILE[:3])
    for picture in pictures:
        assert picture["lacks"] == "" and picture["why"] == ["worst in A and B"]
        seen = [webp.read_codes((hostiles / "pictures" / picture[side]).read_bytes()) for side in ("before", "after")]
        assert (seen[0] == 255).sum() == 48 and np.array_equal(seen[1] >= 128, base_map() >= 0.5)
        assert all((hostiles / "pictures" / picture[f"{side}_errors"]).is_file() for side in ("before", "after"))


def test_an_image_that_one_store_kept_says_so(tmp_path: Path) -> None:
    a, b = (filled(tmp_path, name, {"prn": IOU}) for name in "ab")
    store = Store(b)
    picture = store.add_picture(webp.map_bytes(base_map()))
    cell = store.manifests()[0]
    names = dict.fromkeys(("image", "truth", "base", "refined"), picture)
    store.keep_images(cell, [KeptImage(id="image3", why=("best",), **names)])
    (found,) = row(page_of(tmp_path, a, b), refiner="prn")["pictures"]
    assert found["lacks"] == "A" and "before" not in found and found["after"] == Path(picture).name


def test_hostile_names_are_text(hostiles: Path) -> None:
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not any(key.startswith("on") for key, _ in attrs)

    html = (hostiles / "index.html").read_text()
    Tags().feed(html)
    assert not {"img", "b", "i"} & set(tags)
    assert tags.count("script") == html.count('<script src="')
    assert {one["refiner"] for one in rows(hostiles)} >= {REFINER, "new"}


def test_tables_to_copy(hostiles: Path) -> None:
    texts = chunk(hostiles, "texts")
    first = texts["blocks"][0]
    assert r"\toprule" in first["latex"] and r"\documentclass" not in first["latex"]
    assert any(line.startswith("| roads") for line in first["markdown"].splitlines())
    assert texts["sheets"].keys() >= {"changes", "cells", "unpaired", "summary"}
    gain = np.mean(np.subtract(LATER, GAINS))
    assert float(shown(hostiles)[REFINER]["iou_change"]) == pytest.approx(gain)


WRONG = (
    ((), "is of the page alone: 'bench compare' has the tables (--compare)"),
    (("--html",), "a page is a folder of files (--html)"),
    (("--html", "--store", "a"), "the stores are those of --compare (--store)"),
    (("--html", "--images", "x.csv"), "--compare resamples images (--images)"),
    (("--html", "--csv"), "is of one store's tables (--csv)"),
    (("--html", "--tests"), "a page is written by a call of its own (--html)"),
    (("--html", "--latex", "--style", "paper"), "is of one store's tables (--latex)"),
    (("--html", "--legend"), "is of the printed tables alone"),
    (("--html", "--experiment", "none"), "no such experiment 'none'"),
)


@pytest.mark.parametrize(("options", "says"), WRONG, ids=lambda value: " ".join(value)[:30])
def test_what_makes_no_sense_is_one_line(
    options: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        filled(tmp_path, name, {"prn": IOU})
    out = () if options == ("--html",) else ("--out", "out")
    assert main(["report", "--compare", "a", "b", *options, *out]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and says in captured.err and captured.err.count("\n") == 1
    assert not Path("out").exists()


def test_stores_that_cannot_be_compared_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = filled(tmp_path, "a", {"prn": IOU}), filled(tmp_path, "b", {"prn": IOU}, protocol="B")
    for other, says in ((b, "not comparable, the protocol"), (str(tmp_path / "nowhere"), "no store here")):
        assert main(["report", "--html", "--compare", a, other, "--out", str(tmp_path / "out")]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and says in captured.err and captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (filled(tmp_path, name, {"prn": iou}) for name, iou in (("a", IOU), ("b", MOVED)))
    out = tmp_path / "out"
    call = ["report", "--html", "--compare", a, b, "--out", str(out)]
    assert main(call) == 0
    first, sentence = capsys.readouterr().out.splitlines()
    assert first == str(out / "index.html") and sentence.startswith("Worse: 1 cell regressed")
    assert main([*call, "--single-file"]) == 0
    assert "<script src" not in (out / "report.html").read_text()
