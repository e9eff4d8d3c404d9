"""The short tables: what fits the screen, in which order, under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.reports import FORMATS, Report, build
from bench.reports.formats.terminal import fitted, text
from bench.store import Store
from tests.reports.stores import add, records


@pytest.fixture
def report(tmp_path: Path) -> Report:
    store = Store(tmp_path)
    both = {"boundary_iou": [0.4, 0.5], "seconds": 0.25, "peak_rss_mb": 300.0}
    add(store, "identity", records([0.80, 0.82], **both), position=0)
    add(store, "worse[radius=3]", records([0.70, 0.82], **both), position=1)
    add(store, "crf", records([0.84, 0.86], **both), position=2, fit_seconds=7.0)
    add(store, "ideal", records([0.95, 0.95], **both), position=3, uses_ground_truth=True)
    add(store, "net", None, position=4, status="failed", error="out of memory " * 12)
    return build(store)


def lines(shown: str) -> list[str]:
    return shown.split("\n\n")[1].splitlines()[1:]


def test_best_first_the_base_at_its_place_oracles_apart(report: Report) -> None:
    shown = FORMATS["terminal"].render(report)
    names = [line.split()[0] for line in lines(shown) if not line.startswith(" ")]
    assert names == ["refiner", "crf", "identity", "worse[radius=3]", "net"]
    assert shown.split("\n\n")[2].startswith("ideal †")


def test_numbers_by_hand(report: Report) -> None:
    heading, crf, identity, worse, *_ = lines(FORMATS["terminal"].render(report))
    assert heading.split() == ["refiner", "mIoU", "gain", "[95", "%", "interval]", "W/T/L", "s/image", "RSS", "MB"]
    assert crf.split() == ["crf", "85.00", "+4.0", "~[+4.0,", "+4.0]", "2/0/0", "0.250", "300"]
    assert identity.split() == ["identity", "81.00", "the", "base", "-", "0.250", "300"]
    assert worse.split() == ["worse[radius=3]", "76.00", "-5.0", "~[-10.0,", "0.0]", "0/1/1", "0.250", "300"]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_nothing_is_wider_than_the_screen_and_no_number_is_lost(tmp_path: Path, width: int) -> None:
    store = Store(tmp_path)
    long = "prn[size=256,epochs=40,patch={},weights=/home/someone/{}/net.pth]"
    names = ["identity", *(long.format(patch, "a" * patch) for patch in (16, 32)), "crf"]
    for base in ("unet[encoder=" + "resnet" * 20 + "]", "psp"):
        for position, name in enumerate(names):
            costs = {"seconds": 12.3456, "peak_rss_mb": 123456.0, "boundary_iou": 0.5}
            add(store, name, records([position / 10, 1.0], **costs), base=base, position=position)
    shown = text(build(store), width=width, explained=True).plain
    over = [line for line in shown.splitlines() if len(line) > width]
    assert over == []
    for number in ("12.346", "123456", "+15.0 ~[0.0, +30.0]", "+5.0 ~[0.0, +10.0]", "1/1/0"):
        assert shown.count(number) >= 2
    rows = [line for line in shown.splitlines() if line.startswith("prn[") and "12.346" in line]
    assert len(rows) == 4 and len({row.split()[0] for row in rows}) == 2
    # What a name lost is said below.
    assert all(name in shown.replace("\n", "") for name in names[1:3])


def test_a_wider_screen_has_more_columns(report: Report) -> None:
    assert "mBA gain" not in text(report, width=80).plain
    wide = text(report, width=120).plain
    assert "mBA gain" in wide and "lost (mBA)" in wide and "fit s" in wide
    assert text(report, width=20).plain == text(report, width=80).plain


def test_a_failed_row_says_why_beside_its_name(report: Report) -> None:
    shown = FORMATS["terminal"].render(report)
    failed = shown[shown.index("\nnet ") :].split("\n\n")[0]
    assert " ".join(failed.split()) == "net failed: " + ("out of memory " * 12).strip()


def test_the_legend_stands_once_at_the_end_and_only_where_it_is_wanted(report: Report) -> None:
    assert "W/T/L: " not in text(report).plain
    explained = text(report, explained=True).plain
    for title in ("mIoU:", "gain:", "W/T/L:", "s/image:", "RSS MB:"):
        assert explained.count(f"\n{title}") == 1
    assert "lost (" not in explained  # that column is on a wider screen


def test_the_best_is_bold_and_what_is_sure_has_a_colour(report: Report) -> None:
    shown = text(report)
    styled = {(shown.plain[span.start : span.end], str(span.style)) for span in shown.spans}
    assert ("85.00", "bold") in styled and ("95.00", "bold") not in styled
    assert ("+4.0 ~[+4.0, +4.0]", "green") in styled
    assert not any(style in ("green", "red") for cell, style in styled if cell == "-5.0 [-10.0, 0.0]")


def test_memory_is_the_gpus_where_one_was_used(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "identity", records([0.5], peak_rss_mb=300.0, peak_gpu_mb=0.0))
    assert "RSS MB" in FORMATS["terminal"].render(build(store))
    add(store, "prn", records([0.5], peak_rss_mb=900.0, peak_gpu_mb=1234.0))
    shown = FORMATS["terminal"].render(build(store))
    assert "GPU MB" in shown and "1234" in shown and "RSS MB" not in shown


@pytest.mark.parametrize("width", [8, 14, 30])
def test_names_fit_and_stay_distinct(width: int) -> None:
    names = ["crf", "prn[..]", *(f"prn[size={size},patch={patch}]" for size in (64, 128) for patch in (8, 16))]
    names += [f"adapter[path=/a/{'x' * 60}/{name}]" for name in ("one.onnx", "two.onnx")]
    names += ["a" * 50, "a" * 51, "a" * 52]
    short = fitted(names, width)
    assert list(short) == names and short["crf"] == "crf"
    assert len(set(short.values())) == len(names) and max(map(len, short.values())) <= width


def test_names_keep_what_tells_them_apart() -> None:
    names = [f"prn[size=256,epochs=40,patch={patch},mode=released]" for patch in (16, 32)]
    assert list(fitted(names, 20).values()) == ["prn[patch=16,..]", "prn[patch=32,..]"]
    assert list(fitted(names, 28).values()) == ["prn[size=256,patch=16,..]", "prn[size=256,patch=32,..]"]
