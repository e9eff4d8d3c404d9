from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from bench.contracts import SPLITS, UserError
from bench.datasets.folder import Folder
from tests.bench.datasets.files import write_image, write_mask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(10):
        write_image(tmp_path / "images" / f"{number}.jpg")
        write_mask(tmp_path / "masks" / f"{number}.png")
    return tmp_path


def write_csv(root: Path, *lines: str) -> Path:
    path = root / "pairs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")  # as spreadsheets write it
    return path


def test_folders_are_cut_into_60_20_20(root: Path) -> None:
    source = Folder(root=root, images=Path("images"), masks=Path("masks"))
    assert source.found == {"train": 6, "val": 2, "test": 2}
    ids = [id_ for split in SPLITS for id_ in source.split(split).ids]
    assert sorted(ids) == [str(number) for number in range(10)]
    assert source.expected == {} and source.completeness() == ""


def test_fractions_and_paths_beside_the_current_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    source = Folder(root=Path("/absent"), images=Path("images"), masks=Path("masks"), val=0.5, test=0.5)
    assert source.found == {"train": 0, "val": 5, "test": 5}


def test_a_csv_with_splits_and_ids(root: Path) -> None:
    write_csv(
        root,
        "id,image,mask,split",
        "first,images/3.jpg,masks/3.png,test",
        "set/second,images/1.jpg,masks/1.png,train",
        "third,images/2.jpg,masks/2.png,test",
    )
    source = Folder(root=root, csv=Path("pairs.csv"))
    assert list(source.split("train").ids) == ["set/second"]
    assert list(source.split("val").ids) == []
    assert list(source.split("test").ids) == ["first", "third"]
    assert source.split("test")[0].mask.sum() == 24
    assert source.verify() == []


def test_a_csv_without_splits_takes_stems_and_the_splitter(root: Path) -> None:
    write_csv(root, "image,mask", *(f"images/{n}.jpg,masks/{n}.png" for n in range(5)))
    source = Folder(root=Path("/absent"), csv=root / "pairs.csv")
    assert source.found == {"train": 3, "val": 1, "test": 1}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["picture,mask", "a,b"], "no column image"),
        (["image,mask"], "without rows"),
        (["image,mask", "images/1.jpg,"], "line 2"),
        (["image,mask,split", "images/1.jpg,masks/1.png,dev"], "split 'dev'.*line 2"),
        (["image,mask", "images/1.jpg,masks/1.png", "images/1.jpg,masks/1.png"], "two rows with the id '1'.*line 3"),
        (["id,image,mask", "../x,images/1.jpg,masks/1.png"], "the id '../x'"),
        (["image,mask", "images/1.jpg,masks/1.png", "images/x.jpg,masks/1.png"], r"no such image, .*x\.jpg .*line 3"),
        (["image,mask", "images/1.jpg,masks/y.png"], r"no such mask, .*masks/y\.png .*line 2"),
        (["image,mask", *(f"images/{n}x.jpg,masks/{n}x.png" for n in "123")], "1x.jpg, the first of 6 files that"),
    ],
)
def test_a_csv_that_is_wrong(root: Path, lines: list[str], problem: str) -> None:
    write_csv(root, *lines)
    with pytest.raises(UserError, match=problem) as caught:
        Folder(root=root, csv=Path("pairs.csv")).split("test")
    assert "pairs.csv" in str(caught.value)


def test_a_csv_that_is_no_text(root: Path) -> None:
    (root / "pairs.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(UserError, match=r"unreadable CSV.*pairs\.csv"):
        Folder(root=root, csv=Path("pairs.csv")).split("test")


def test_a_missing_folder_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"no such file or folder \(labels\)"):
        Folder(root=root, images=Path("images"), masks=Path("labels")).split("test")


def test_an_empty_folder_is_named(root: Path) -> None:
    (root / "empty").mkdir()
    with pytest.raises(UserError, match=r"no image.*empty"):
        Folder(root=root, images=Path("empty"), masks=Path("masks")).split("test")
    with pytest.raises(UserError, match=r"no masks here.*empty"):
        Folder(root=root, images=Path("images"), masks=Path("empty")).split("test")


def test_a_csv_may_write_names_in_another_unicode_form(root: Path) -> None:
    forms: list[Literal["NFC", "NFD"]] = ["NFC", "NFD"]
    for form, other in (forms, forms[::-1]):
        image = write_image(root / "images" / unicodedata.normalize(form, f"é{form}.jpg"))
        write_csv(root, "image,mask", f"images/{unicodedata.normalize(other, image.name)},masks/1.png")
        source = Folder(root=root, csv=Path("pairs.csv"))
        assert list(source.split("train").ids) == [f"é{form}"]
        assert source.verify() == []


def test_subfolders_are_part_of_the_id(root: Path) -> None:
    for number in range(10):
        write_image(root / "images" / "site" / f"{number}.jpg")
        write_mask(root / "masks" / "site" / f"{number}_mask.png")
    source = Folder(root=root, images=Path("images/site"), masks=Path("masks"), mask_pattern="site/*_mask")
    with pytest.raises(UserError, match="one \\* for the part of the file name"):
        source.split("test")
    (root / "images" / "site" / "10.jpg").symlink_to(root / "images" / "1.jpg")
    source = Folder(root=root, images=Path("images"), masks=Path("masks"), val=0, test=0)
    assert list(source.split("train").ids) == [str(number) for number in range(10)]
    assert source.completeness() == "10 of 21 images have a mask"
    source = Folder(root=root, images=Path("images"), masks=Path("masks"), mask_pattern="*_mask", val=0, test=0)
    assert list(source.split("train").ids) == [f"site/{number}" for number in range(10)]
    assert [finding.kind for finding in source.verify()] == ["stray", "stray"]


@pytest.mark.parametrize("given", [[], ["images"], ["masks"], ["csv", "images"], ["csv", "images", "masks"]])
def test_two_folders_or_one_csv(given: list[str]) -> None:
    paths = {name: Path(name) for name in given}
    with pytest.raises(UserError, match=r"folder\[csv=FILE\]"):
        Folder(root=Path(), images=paths.get("images"), masks=paths.get("masks"), csv=paths.get("csv"))


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.2), (0.7, 0.4)])
def test_fractions_that_are_none(val: float, test: float) -> None:
    with pytest.raises(UserError, match="fractions"):
        Folder(root=Path(), csv=Path("pairs.csv"), val=val, test=test)
