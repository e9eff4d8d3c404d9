"""What a cell is called changes nothing that was computed; what its files hold does."""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench
from bench.cli import main
from tests.reports.stores import leave_earlier

IDS = [f"{number}" for number in range(4)]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def dataset_of(folder: Path) -> str:
    return f"folder[images={folder / 'images'},masks={folder / 'masks'},val=0.5,test=0.5]"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images whose right half is foreground; maps ``right/maps`` say so, ``wrong/maps`` say the opposite."""
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    for name in IDS:
        write(tmp_path / "site" / "images" / f"{name}.png", np.full((8, 8, 3), int(name), np.uint8))
        write(tmp_path / "site" / "masks" / f"{name}.png", mask)
        write(tmp_path / "right" / "maps" / f"{name}.png", mask)
        write(tmp_path / "wrong" / "maps" / f"{name}.png", 255 - mask)
    return tmp_path / "site"


def computed(folder: Path, base: str = "maps[path=right/maps]", refiner: str = "threshold") -> int:
    """How many cells a run had to compute."""
    result = bench.run(
        dataset=[dataset_of(folder)], base=[base], refiner=[refiner], store="store", device="cpu", engine="inline"
    )
    return len(result.cells) - len(result.reused)


BASES = ["maps[path=right/maps]", "maps[path=wrong/maps]"]


@pytest.mark.parametrize("runs", [[BASES], [BASES[:1], BASES[1:]]], ids=["one run", "two runs"])
def test_paths_that_end_alike_are_two_rows(
    site: Path, runs: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for bases in runs:
        bench.run(
            dataset=[dataset_of(site)], base=bases, refiner=["identity"], store="store", device="cpu", engine="inline"
        )
    assert main(["report", "--store", "store", "--markdown", "--latex", "--csv", "--out", "tables"]) == 0
    rows = list(csv.DictReader(Path("tables/report.csv").read_text().splitlines()))
    assert {row["base"]: float(row["iou"]) for row in rows} == {
        "maps[path=right/maps]": 1.0,
        "maps[path=wrong/maps]": 0.0,
    }
    markdown, latex = (Path(f"tables/report.{suffix}").read_text() for suffix in ("md", "tex"))
    for value, name in (("100.00", "right/maps"), ("0.00", "wrong/maps")):
        _, _, below = markdown.partition(f"### maps[path={name}]")
        assert re.search(rf"\| identity +\| +{value} \|", below.partition("###")[0])
        assert name in latex and value in latex


def test_names_of_places_are_no_part_of_a_cell(site: Path) -> None:
    config = Path("bench.toml")
    config.write_text('[variants.base]\nmine = "maps[path=right/maps]"\n[variants.refiner]\ncut = "patch-threshold"\n')
    assert computed(site, "mine", "cut") == 2
    # Renamed variants.
    config.write_text('[variants.base]\nours = "maps[path=right/maps]"\n[variants.refiner]\nbest = "patch-threshold"\n')
    assert computed(site, "ours", "best") == 0
    assert {
        manifest.refiner
        for manifest in bench.run(
            dataset=[dataset_of(site)], base=["ours"], refiner=["best"], store="store", device="cpu", engine="inline"
        ).store.manifests()
    } == {"identity", "best"}
    # A moved dataset, moved maps, a touched file.
    elsewhere = site.parent / "elsewhere"
    shutil.move(site, elsewhere)
    shutil.move("right", "left")
    os.utime(elsewhere / "masks" / "0.png", (1, 1))
    os.utime("left/maps/0.png", (1, 1))
    assert computed(elsewhere, "maps[path=left/maps]", "patch-threshold") == 0


def test_a_renamed_cell_goes_by_its_new_name_in_the_store(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    computed(site)
    shutil.move("right", "left")
    assert computed(site, "maps[path=left/maps]", "identity") == 0
    assert main(["report", "--store", "store", "--markdown"]) == 0
    printed = capsys.readouterr().out
    # The cell of the refiner that the second run did not name is of the same base.
    assert printed.count("### maps[path=maps]") == 1 and "threshold" in printed


@pytest.mark.parametrize("changed", ["right/maps/1.png", "site/masks/1.png", "site/images/1.png"])
def test_one_pixel_of_a_file_makes_other_cells(site: Path, changed: str) -> None:
    assert computed(site) == 2
    # Whichever of the splits the image is in, threshold learns from val and is scored on test.
    pixels = np.array(Image.open(changed))
    pixels[0, 0] = 255 - pixels[0, 0]
    write(Path(changed), pixels)
    assert computed(site) >= 1


def test_two_names_for_one_cell_are_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").write_text('[variants.refiner]\nraw = "identity"\n')
    result = bench.run(
        dataset=[dataset_of(site)],
        base=["maps[path=right/maps]"],
        refiner=["raw"],
        store="store",
        device="cpu",
        engine="inline",
    )
    assert [cell.manifest.refiner for cell in result.cells] == ["identity"]
    assert "refiner raw is identity by another name" in capsys.readouterr().err


def test_what_an_earlier_version_stored_is_computed_anew_and_shown_apart(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bench.run(
        dataset=[dataset_of(site)],
        base=["maps[path=right/maps]"],
        refiner=["identity"],
        store="store",
        device="cpu",
        engine="inline",
    )
    (manifest,) = result.store.manifests()
    records = result.store.records(manifest)
    for path in list(Path("store/cells").glob("*/*")):
        path.unlink()
    earlier = manifest.model_copy(update={"key": "0" * 32, "layout": 1, "names": {}, "identity": {"base": "b"}})
    leave_earlier(result.store, earlier, records)
    assert computed(site, refiner="identity") == 1
    assert main(["report", "--store", "store", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "earlier version" in printed and printed.count("| identity") >= 2
