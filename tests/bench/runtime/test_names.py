"""Which files are found below a folder, and which belong together: `bench.runtime.names`."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import UserError
from bench.runtime.names import Side, likely, match, side

Form = Literal["NFC", "NFD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD")

E = "polype_é"
"""One character more in the form that a Mac's file system keeps."""


def laid(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def maps(folder: Path, pattern: str = "") -> Side:
    return side(folder, (".png", ".npy"), "maps", "--maps", "--map-pattern", pattern)


def masks(folder: Path, pattern: str = "") -> Side:
    return side(folder, (".png", ".jpg"), "masks", "--masks", "--mask-pattern", pattern)


def ids(folder: Path, pattern: str = "") -> list[str]:
    return list(maps(folder, pattern).files)


def test_the_path_without_suffix_is_the_id(tmp_path: Path) -> None:
    laid(tmp_path, "b.png", "a.1.NPY", "site/x/a.png", "notes.txt", "a.jpg")
    assert ids(tmp_path) == ["a.1", "b", "site/x/a"]


def test_what_is_hidden_is_passed_over(tmp_path: Path) -> None:
    root = tmp_path / ".cache" / "maps"  # the folder itself may be
    laid(root, "1.png", "._1.png", ".git/a.png", ".ipynb_checkpoints/1-checkpoint.png", "__MACOSX/1.png", "s/._2.png")
    assert ids(root) == ["1"]
    with pytest.raises(UserError, match=r"no maps here .*empty"):
        maps(laid(tmp_path / "empty", "._1.png", ".hidden/2.png"))


def test_linked_folders_are_followed_once_and_loops_are_cut(tmp_path: Path) -> None:
    root = laid(tmp_path / "maps", "real/1.png", "real/deep/2.png")
    laid(tmp_path / "elsewhere", "3.png")
    for link, target in {
        "a_link": root / "real",  # before "real" in the alphabet, yet that goes by its own name
        "linked": tmp_path / "elsewhere",
        "linked_again": tmp_path / "elsewhere",
        "real/loop": root,
        "real/deep/up": root / "real",
        "outside": tmp_path,  # holds the folder itself
    }.items():
        (root / link).symlink_to(target, target_is_directory=True)
    (root / "4.png").symlink_to(tmp_path / "elsewhere" / "3.png")
    assert ids(root) == ["4", "linked/3", "real/1", "real/deep/2"]


def test_a_link_to_nowhere_is_no_file_less(tmp_path: Path) -> None:
    (tmp_path / "1.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "2.png").symlink_to(tmp_path / "2.png")
    assert ids(tmp_path) == ["1", "2"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_forms_are_matched(tmp_path: Path, form: Form) -> None:
    other: Form = "NFD" if form == "NFC" else "NFC"
    laid(tmp_path / "maps", unicodedata.normalize(form, f"é/{E}_ü1.png"))
    laid(tmp_path / "masks", unicodedata.normalize(other, f"é/{E}_ü1.png"))
    found = match(masks(tmp_path / "masks"), maps(tmp_path / "maps"))
    assert list(found.pairs) == [unicodedata.normalize("NFC", f"é/{E}_ü1")]
    pattern = unicodedata.normalize(other, "*_ü1")
    assert ids(tmp_path / "maps", pattern) == [unicodedata.normalize("NFC", f"é/{E}")]


def test_two_files_of_one_id_are_an_error(tmp_path: Path) -> None:
    laid(tmp_path / "a", "1.png", "1.npy")
    with pytest.raises(UserError, match=r"two files of one name, 1\.npy and 1\.png"):
        ids(tmp_path / "a")
    laid(tmp_path / "b", *(unicodedata.normalize(form, f"{E}.png") for form in FORMS))
    if len(list((tmp_path / "b").iterdir())) == 2:  # a Mac's file system has one file of both
        with pytest.raises(UserError, match="which Unicode writes in two ways"):
            ids(tmp_path / "b")


def test_a_pattern_says_what_of_the_name_is_the_id(tmp_path: Path) -> None:
    laid(tmp_path, "1.png", "1_mask.png", "site/1_mask.npy", "_mask.png", "2_MASK.png", "mask_3.png")
    assert ids(tmp_path, "*_mask") == ["1", "site/1"]
    assert ids(tmp_path, "mask_*") == ["3"]
    with pytest.raises(UserError, match=r"none of 6 maps has a name like '\*_gt'.*the first is 1\.png"):
        ids(tmp_path, "*_gt")


@pytest.mark.parametrize(
    ("pattern", "says"), [("_mask", "write one *"), ("*_*", "write one *"), ("a/*", "write"), ("*_m.png", "suffix out")]
)
def test_a_pattern_that_is_none(tmp_path: Path, pattern: str, says: str) -> None:
    laid(tmp_path, "1_mask.png")
    with pytest.raises(UserError, match=r"the pattern .*--map-pattern") as caught:
        ids(tmp_path, pattern)
    assert says in str(caught.value)


def test_two_single_files_are_a_pair_and_one_goes_by_its_name(tmp_path: Path) -> None:
    laid(tmp_path, "m/1.png", "m/2.png", "out/other.npy", "out/2.npy")
    assert match(masks(tmp_path / "m/1.png"), maps(tmp_path / "out/other.npy")).pairs == {
        "other": (tmp_path / "m/1.png", tmp_path / "out/other.npy")
    }
    assert list(match(masks(tmp_path / "m"), maps(tmp_path / "out/2.npy")).pairs) == ["2"]
    with pytest.raises(UserError, match="none of 1 maps has the name of one of the masks"):
        match(masks(tmp_path / "m"), maps(tmp_path / "out/other.npy"))
    with pytest.raises(UserError, match=r"no maps here \(.*1\.txt"):
        maps(laid(tmp_path, "1.txt") / "1.txt")
    with pytest.raises(UserError, match=r"no such file or folder \(.*nowhere\).*--maps"):
        maps(tmp_path / "nowhere")


def test_one_folder_of_both_is_told_apart_by_patterns(tmp_path: Path) -> None:
    laid(tmp_path, "1.png", "2.png", "1_pred.png", "2_pred.png")
    with pytest.raises(UserError, match="masks and maps are the same folder"):
        match(masks(tmp_path), maps(tmp_path))
    found = match(masks(tmp_path), maps(tmp_path, "*_pred"))
    assert list(found.pairs) == ["1", "2"] and not found.first_left and not found.second_left


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["a", "b"], ["a_mask", "b_mask"], ("", "*_mask")),
        (["a", "b"], ["pred-a", "pred-b"], ("", "pred-*")),
        (["a_gt", "b_gt"], ["a_pred", "b_pred"], ("*_gt", "*_pred")),
        (["img_001", "img_002"], ["msk_001", "msk_002"], ("img_*", "msk_*")),
        (["d/a", "d/b"], ["d/a_sat", "d/b_sat"], ("", "*_sat")),
        (["1", "2", "10"], ["1mask", "2mask", "10mask"], ("", "*mask")),
        (["a_ground_truth"], ["a_p"], ("*_ground_truth", "*_p")),
        (["a", "b", "c"], ["a", "b_mask", "c_mask"], ("", "*_mask")),
        (["a", "b"], ["a", "b"], None),
        (["a", "b", "c"], ["a", "b", "c_mask"], None),  # most match as they are
        (["a", "b", "c"], ["c_mask", "x", "y"], None),  # too few would
        (["1"], ["10"], None),  # a digit more is another number, and no word
        (["x_1"], ["x_2"], None),
        ([], [], None),
    ],
)
def test_the_likely_patterns(first: list[str], second: list[str], expected: tuple[str, str] | None) -> None:
    assert likely(first, second) == expected


@given(
    st.lists(st.from_regex(r"[a-z]{1,4}[0-9]{1,3}(/[a-z0-9]{1,3})?", fullmatch=True), min_size=2, unique=True),
    st.sampled_from(["*_mask", "*-seg", "gt_*", "*.pred", "* label"]),
)
def test_a_word_at_all_names_is_found(names: list[str], pattern: str) -> None:
    def worded(name: str) -> str:
        folder, slash, last = name.rpartition("/")
        return folder + slash + pattern.replace("*", last)

    assert likely(names, [worded(name) for name in names]) == ("", pattern)


def test_the_error_tells_the_options_to_paste(tmp_path: Path) -> None:
    laid(tmp_path / "m", "a_gt.png", "b_gt.png")
    laid(tmp_path / "p", "a_pred.png", "b_pred.png")
    with pytest.raises(UserError, match=r"say --mask-pattern '\*_gt' --map-pattern '\*_pred'$"):
        match(masks(tmp_path / "m"), maps(tmp_path / "p"))
    with pytest.raises(UserError, match=r"say --mask-pattern '\*_gt'$"):
        match(masks(tmp_path / "m"), maps(tmp_path / "p", "*_pred"))
    assert list(match(masks(tmp_path / "m", "*_gt"), maps(tmp_path / "p", "*_pred")).pairs) == ["a", "b"]
