from __future__ import annotations

from pathlib import Path

import pytest

from bench.reports import FORMATS, build
from bench.store import Store
from tests.reports.stores import add, records


@pytest.fixture
def text(tmp_path: Path) -> str:
    store = Store(tmp_path)
    base = {"boundary_iou": [0.40, 0.50], "mae": [0.10, 0.10]}
    add(store, "identity", records([0.80, 0.82], **base), position=0)
    add(store, "prn[size=128,patch=16]", records([0.84, 0.86], **{**base, "boundary_iou": [0.38, 0.48]}), position=1)
    add(store, "threshold", records([0.8001, 0.8199], **base, seconds=0.0001), position=2)
    add(store, "densecrf", None, position=3, status="failed", error="bad | pipe <b>bold</b>\ntrace")
    add(store, "ideal", records([0.9, 0.9], **base), position=4, uses_ground_truth=True)
    add(store, "identity", records([0.7], **{"boundary_iou": 0.3}), base="onnx[path=a_b%.onnx]", limit=None)
    return FORMATS["markdown"].render(build(store))


def cells(text: str, base: str, refiner: str, table: int = 0) -> list[str]:
    tables = text.split(f"### {base}\n")[1].split("\n\n")
    (line,) = (line for line in tables[table].splitlines() if line.startswith(f"| {refiner}"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_bold_arrows_and_points(text: str) -> None:
    assert cells(text, "unet", "prn")[:7] == [
        "prn[size=128,patch=16]",
        "**85.00**",
        "↑ 4.0 ~[+4.0,+4.0]",
        "2/0/0",
        "43.00",
        "↓ 2.0 ~[-2.0,-2.0]",
        "100 %",
    ]
    assert cells(text, "unet", "identity")[:5] == ["identity", "81.00", "-", "-", "45.00"]


def test_a_gain_that_reads_as_zero_has_no_arrow(text: str) -> None:
    assert cells(text, "unet", "threshold")[2] == "0.0 ~[0.0,0.0]"


def test_oracles_are_marked_and_not_bold(text: str) -> None:
    assert cells(text, "unet", "ideal")[:2] == ["ideal †", "90.00"]


def test_what_was_not_measured_reads_so(text: str) -> None:
    assert cells(text, "unet", "prn", table=2)[1] == "n/a"
    assert cells(text, "unet", "threshold", table=2)[1] == "<0.001"


def test_failed_and_missing_cells_keep_their_rows(text: str) -> None:
    assert cells(text, "unet", "densecrf") == ["densecrf", r"failed: bad \| pipe \<b>bold\</b>"]
    assert (
        cells(text, "unet", "densecrf", table=1) == cells(text, "unet", "densecrf", table=2) == ["densecrf", "failed"]
    )
    assert cells(text, "onnx[path=a_b%.onnx]", "densecrf") == ["densecrf", "missing"]


def test_single_image_intervals_and_footnotes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "identity", [0.5])
    add(store, "prn", [0.6])
    add(store, "crf", [0.6], seed=1)
    text = FORMATS["markdown"].render(build(store))
    assert cells(text, "unet", "prn ")[2] == "↑ 10.0 ~[n/a]"
    assert cells(text, "unet", "crf ")[2:4] == ["n/a", "n/a"]
    name = cells(text, "unet", "crf ")[0]
    assert name.startswith("crf ¹") or name.startswith("crf ²")
    assert f"{name.split()[1]} no gains" in text


def test_tables_fit_a_wide_terminal(text: str) -> None:
    widths = [len(line) for line in text.splitlines() if line.startswith("|")]
    assert widths and max(widths) <= 160


def test_every_table_line_has_a_legend(text: str) -> None:
    quality = ("mIoU:", "mBA (d=15):", "BIoU 2%:", "MAE:", "lost (mBA):", "W/T/L:", "gain:")
    for title in (*quality, "refine s/image:", "of ideal:"):
        assert f"- {title}" in text
    assert "‡" not in text  # nothing is contaminated


def test_headroom_has_a_table_of_its_own(text: str) -> None:
    # The base has 81 on the mean, the oracle 90.
    assert cells(text, "unet", "prn", table=1) == ["prn[size=128,patch=16]", "44 %"]
    assert cells(text, "unet", "threshold", table=1) == ["threshold", "0 %"]
    assert cells(text, "unet", "ideal †", table=1) == ["ideal †", "100 %"]


def test_without_an_oracle_there_is_no_headroom(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "identity", [0.5])
    assert "eadroom" not in FORMATS["markdown"].render(build(store))


def test_contaminated_rows_are_marked_explained_and_not_bold(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "identity", [0.5, 0.6], position=0)
    add(store, "prn", [0.6, 0.7], position=1)
    add(store, "psp", [0.8, 0.9], position=2, contaminated=["DUTS-TE"], contaminated_by=["refiner"])
    text = FORMATS["markdown"].render(build(store))
    assert cells(text, "unet", "psp")[:2] == ["psp ‡ ¹", "85.00"]
    assert cells(text, "unet", "psp", table=1)[0] == "psp ‡ ¹"
    assert cells(text, "unet", "prn")[1] == "**65.00**"
    assert "¹ not clean: the public weights of the refiner were trained on DUTS-TE, which is tested on" in text
    assert "- ‡: public weights of the base or the refiner were trained on" in text


def test_plugged_in_metrics_stand_after_the_built_in_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dice = {"title": "Dice", "meaning": "overlap", "better": "higher", "scale": 100, "digits": 1}
    cost = {"title": "Hausdorff", "meaning": "largest distance", "better": "lower", "scale": 1, "digits": 0}
    own = {"dice": dice, "hd": cost}
    add(store, "identity", records([0.5, 0.5], dice=0.55, hd=12.4), position=0, metrics=own)
    add(store, "prn", records([0.6, 0.6], dice=0.6789, hd=9.0), position=1, metrics=own)
    add(store, "crf", records([0.6, 0.6]), position=2)
    text = FORMATS["markdown"].render(build(store))
    heading = next(line for line in text.splitlines() if line.startswith("| Refiner"))
    assert [part.strip() for part in heading.strip("|").split("|")][-3:] == ["Set IoU", "Dice", "Hausdorff"]
    assert cells(text, "unet", "prn")[-2:] == ["**67.9**", "**9**"]
    assert cells(text, "unet", "identity")[-2:] == ["55.0", "12"]
    assert cells(text, "unet", "crf")[-2:] == ["n/a", "n/a"]
    assert "- Dice: overlap (plug-in dice, shown times 100; higher is better)." in text
    assert "- Hausdorff: largest distance (plug-in hd; lower is better)." in text


def test_long_names_lose_folders_unless_they_would_collide(tmp_path: Path) -> None:
    store = Store(tmp_path)
    long = "cascadepsp[L=900,weights=/home/someone/models/{}/net.pth]"
    add(store, "identity", [0.5])
    add(store, long.format("a"), [0.5])
    assert "| cascadepsp[L=900,weights=…/net.pth]" in FORMATS["markdown"].render(build(store))
    add(store, long.format("b"), [0.5])
    text = FORMATS["markdown"].render(build(store))
    assert all(f"| {long.format(letter)}" in text for letter in "ab")
