"""Files that are named, nested and sized as people have them, through ``score``, ``refine`` and ``run`` alike."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.commands.score import score
from bench.contracts import UserError
from bench.images import read_map, write_map
from bench.registry import load_dataset
from tests.bench.conftest import Toy


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(toy: Toy, refiner: str = "identity", images: str = "", maps: str = "") -> RunResult:
    return bench.run(
        dataset=[f"folder[images={toy.images},masks={toy.masks},val=0,test=1{images}]"],
        base=[f"maps[path={toy.maps}{maps}]"],
        refiner=[refiner],
        engine="inline",
    )


def renamed(folder: Path, name: Callable[[str], str]) -> None:
    """Give each file another name below the folder, which is made of its stem."""
    for path in list(folder.iterdir()):
        target = folder / f"{name(path.stem)}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def nested(toy: Toy) -> None:
    for folder in (toy.images, toy.masks, toy.maps):
        renamed(folder, lambda stem: f"site{int(stem[-1]) % 3}/{stem}")


def hidden_files(toy: Toy) -> None:
    for folder in (toy.images, toy.masks, toy.maps):
        for place in (".git", ".ipynb_checkpoints", "__MACOSX"):
            (folder / place).mkdir()
            shutil.copy(folder / "disc0.png", folder / place / "more.png")
        (folder / "._disc0.png").write_bytes(b"\x00\x05\x16\x07")


def linked(toy: Toy) -> None:
    for folder in (toy.images, toy.masks, toy.maps):
        elsewhere = folder.with_name(f"{folder.name}_elsewhere")
        folder.rename(elsewhere)
        folder.mkdir()
        (folder / "site").symlink_to(elsewhere, target_is_directory=True)
        (elsewhere / "loop").symlink_to(folder, target_is_directory=True)


def _accented(form: Literal["NFC", "NFD"], stem: str) -> str:
    return unicodedata.normalize(form, f"polype_é{stem}")


def two_unicode_forms(toy: Toy) -> None:
    forms: tuple[Literal["NFC", "NFD"], ...] = ("NFD", "NFC", "NFD")
    for folder, form in zip((toy.images, toy.masks, toy.maps), forms, strict=True):
        renamed(folder, partial(_accented, form))


@pytest.mark.parametrize("arrange", [nested, hidden_files, linked, two_unicode_forms])
def test_the_commands_have_the_same_rules_for_names(toy: Toy, arrange: Callable[[Toy], None]) -> None:
    expected = score(toy.masks, toy.maps).iou.tolist()
    arrange(toy)
    scores = score(toy.masks, toy.maps)
    assert sorted(scores.iou) == pytest.approx(sorted(expected)) and len(scores) == 10
    assert bench.refine(refiner="identity", images=toy.images, maps=toy.maps, out=Path("out"), device="cpu") == 10
    records = run(toy).records()
    assert sorted(records.id) == sorted(scores.id)
    assert sorted(records.iou) == pytest.approx(sorted(expected))
    assert sorted(score(toy.masks, Path("out")).iou) == pytest.approx(sorted(expected))


def test_words_in_the_names_are_told_and_then_left_out(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    expected = score(toy.masks, toy.maps)
    for folder, word in ((toy.images, "img_*"), (toy.masks, "*_gt"), (toy.maps, "*_pred")):
        renamed(folder, partial(word.replace, "*"))
    told = ["score", "--masks", str(toy.masks), "--maps", str(toy.maps)]
    assert main(told) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("bench: error: ") == 1
    assert captured.err.endswith("say --mask-pattern '*_gt' --map-pattern '*_pred'\n")
    assert main([*told, "--mask-pattern", "*_gt", "--map-pattern", "*_pred", "--out", "scores.csv"]) == 0
    assert capsys.readouterr().out.startswith("10 images\n")
    assert pd.read_csv("scores.csv").id.tolist() == expected.id.tolist()
    np.testing.assert_allclose(pd.read_csv("scores.csv").iou, expected.iou)

    told = ["refine", "--refiner", "identity", "--images", str(toy.images), "--maps", str(toy.maps), "--out", "out"]
    assert main(told) == 2
    assert "none of 10 maps has the name of one of the images: 'disc0_pred', but 'img_disc0'" in capsys.readouterr().err
    assert main([*told, "--image-pattern", "img_*", "--map-pattern", "*_pred"]) == 0
    assert (Path("out") / "disc0_pred.png").is_file()

    with pytest.raises(UserError, match=r"say image_pattern=img_\*,mask_pattern=\*_gt$"):
        run(toy)
    patterns = ",image_pattern=img_*,mask_pattern=*_gt"
    with pytest.raises(UserError, match=r"10 of 10 .*: say maps\[path=\.\.\.,map_pattern=\*_pred\]$"):
        run(toy, images=patterns, maps=",missing=drop")
    records = run(toy, images=patterns, maps=",map_pattern=*_pred").records().sort_values("id")
    np.testing.assert_allclose(records.iou, expected.iou)


def test_little_that_matches_is_an_error_where_a_pattern_finds_more(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed(toy.masks, lambda stem: stem if stem == "disc3" else f"{stem}_mask")
    with pytest.raises(UserError, match=r"1 of 10 masks has .*'disc0_mask'.*: say mask_pattern=\*_mask$"):
        run(toy)
    for number in range(4, 10):
        (toy.masks / f"disc{number}_mask.png").rename(toy.masks / f"disc{number}.png")
    assert len(run(toy).records()) == 7
    assert "a partial copy of folder" in (said := capsys.readouterr().err)
    assert "7 of 10 images have a mask" in said


def test_single_files(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    expected = score(toy.masks, toy.maps).set_index("id").iou["disc4"]
    mask, probs = toy.masks / "disc4.png", (toy.maps / "disc4.png").rename("anything.png")
    assert score(mask, probs).iou.tolist() == [expected]
    assert main(["score", "--masks", str(mask), "--maps", str(probs)]) == 0
    assert capsys.readouterr().out.startswith("1 images\n")
    options: dict[str, Any] = {"images": toy.images / "disc4.png", "maps": probs, "refiner": "identity"}
    assert bench.refine(out=Path("out"), **options) == 1
    np.testing.assert_array_equal(read_map(Path("out/anything.png")), read_map(probs))
    with pytest.raises(UserError, match="mix with the input"):
        bench.refine(out=Path(), **options)


def resized_maps(toy: Toy) -> dict[str, np.ndarray]:
    """Give disc1 a map of twice the sides and disc2 one of half; the maps as they should come out."""
    expected: dict[str, np.ndarray] = {}
    for name in ("disc1", "disc2"):
        probs = read_map(toy.maps / f"{name}.png")
        if name == "disc1":
            write_map(toy.maps / "disc1.png", np.kron(probs, np.ones((2, 2), np.float32)))
            expected[name] = probs  # the area's mean of four equal values
            continue
        small = probs.reshape(12, 2, 10, 2).mean((1, 3))
        write_map(toy.maps / "disc2.png", small)
        # Bilinear with pixel centres: a quarter of the neighbour on the nearer side, edges repeated.
        for axis in (0, 1):
            padded = np.pad(small, [(1, 1) if each == axis else (0, 0) for each in (0, 1)], mode="edge")
            low, mid, high = (np.take(padded, range(k, k + small.shape[axis]), axis) for k in range(3))
            stacked = np.stack([0.25 * low + 0.75 * mid, 0.75 * mid + 0.25 * high], axis + 1)
            small = stacked.reshape([side * (2 if each == axis else 1) for each, side in enumerate(small.shape)])
        expected[name] = small
    return expected


def test_sizes_that_differ_are_refused_or_resized(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    expected = resized_maps(toy)
    told = ["score", "--masks", str(toy.masks), "--maps", str(toy.maps)]
    assert main(told) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("bench: error: ") == 1
    assert "the map is 40x48 and its mask 20x24 pixels (width x height)" in captured.err
    assert "disc1.png" in captured.err and "--resize" in captured.err
    with pytest.raises(UserError, match=r"40x48 and its image 20x24 pixels.*resize=true"):
        run(toy)

    assert main([*told, "--resize"]) == 0
    rule = "area averaging where a map shrinks, else bilinear"
    assert capsys.readouterr().out.startswith(f"10 images\n2 maps resized to their masks' sizes ({rule})\n")
    scores = score(toy.masks, toy.maps, resize=True).set_index("id")
    result = run(toy, maps=",resize=true")
    assert {cell.manifest.base for cell in result.cells} == {"maps[path=maps,resize=true]"}
    for name, probs in expected.items():
        mask = np.array(Image.open(toy.masks / f"{name}.png")) > 127
        mae = np.abs(probs - mask).mean()
        assert scores.mae[name] == pytest.approx(mae, abs=1e-4)
        assert result.records().set_index("id").mae[name] == pytest.approx(mae, abs=1e-4)


def test_maps_in_linked_folders_are_part_of_the_key(toy: Toy) -> None:
    linked(toy)
    assert run(toy).reused == set()
    assert len(run(toy).reused) == 1
    write_map(toy.maps / "site" / "disc0.png", np.zeros((24, 20), np.float32))
    assert run(toy).reused == set()


@pytest.mark.parametrize(
    ("cut", "refiner", "says"),
    [
        ("", "threshold", "train: 6 of 10 images are used by nothing, as the base is not trained: val=0.5,test=0.5"),
        (
            "",
            "identity",
            "train and val: 8 of 10 images are used by nothing, as neither base nor refiner learns: val=0,",
        ),
        (",val=0.5,test=0.5", "threshold", ""),
        (",val=0,test=1", "identity", ""),
    ],
)
def test_images_that_nothing_uses_are_told(
    toy: Toy, capsys: pytest.CaptureFixture[str], cut: str, refiner: str, says: str
) -> None:
    dataset = f"folder[images={toy.images},masks={toy.masks}{cut}]"
    bench.run(dataset=[dataset], base=[toy.base], refiner=[refiner], engine="inline")
    said = capsys.readouterr().err
    assert says in said and ("used by nothing" in said) is bool(says)


def test_what_is_advised_uses_all_and_tests_on_nothing_that_was_fitted(toy: Toy) -> None:
    source = load_dataset(f"folder[images={toy.images},masks={toy.masks},val=0.5,test=0.5]")
    val, test = set(source.split("val").ids), set(source.split("test").ids)
    assert len(val) == len(test) == 5 and not val & test and not len(source.split("train"))
    dataset = f"folder[images={toy.images},masks={toy.masks},val=0.5,test=0.5]"
    result = bench.run(dataset=[dataset], base=[toy.base], refiner=["threshold"], engine="inline")
    assert set(result.records().id) == test


def test_no_advice_where_it_would_not_hold(toy: Toy, capsys: pytest.CaptureFixture[str], plugins: None) -> None:
    bench.run(dataset=[toy.dataset], base=[toy.base, "counting"], refiner=["identity"], engine="inline")
    bench.run(dataset=[toy.dataset], base=[toy.base], refiner=["identity"], limit=1, engine="inline")
    rows = (f"{toy.images}/disc{n}.png,{toy.masks}/disc{n}.png,{'test' if n < 5 else 'train'}" for n in range(10))
    Path("pairs.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
    bench.run(dataset=["folder[csv=pairs.csv]"], base=[toy.base], refiner=["identity"], engine="inline")
    for name in load_dataset(toy.dataset).split("train").ids:
        (toy.maps / f"{name}.png").unlink()
    bench.run(dataset=[toy.dataset], base=[toy.base], refiner=["threshold"], engine="inline")
    assert "used by nothing" not in capsys.readouterr().err


def test_few_test_images_are_warned_of(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(toy)
    warning = "warning: 10 test images of folder"
    assert warning in (said := capsys.readouterr().err) and "with fewer than 100 a 95 % interval covers less" in said
    assert "fewer than 100 images: a 95 % interval (~) covers less" in result.report()
    for folder in (toy.images, toy.masks, toy.maps):
        for number in range(10, 100):
            shutil.copy(folder / f"disc{number % 10}.png", folder / f"disc{number}.png")
    result = run(toy)
    assert "fewer than 100 images: a" not in result.report() and "fewer than 100" not in capsys.readouterr().err
