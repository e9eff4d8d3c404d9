"""``bench data verify`` finds one thing of each kind in copies made by hand, and its exit code says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from tests.bench.datasets.files import truncate, write_image, write_mask

Verified = tuple[int, str, list[tuple[str, ...]]]

WRONG_MASK = "ILSVRC2012_test_00036002"
"""An image of DUTS-TE whose mask is another image's."""


def pairs(root: Path, count: int = 10) -> str:
    """A folder dataset of so many good pairs, 6 x 8 pixels each."""
    for number in range(count):
        write_image(root / "images" / f"{number}.png")
        write_mask(root / "masks" / f"{number}.png")
    return f"folder[images={root / 'images'},masks={root / 'masks'}]"


def unreadable(root: Path) -> str:
    spec = pairs(root)
    truncate(root / "images" / "3.png")
    return spec


def of_another_size(root: Path) -> str:
    spec = pairs(root)
    write_mask(root / "masks" / "4.png", np.zeros((5, 8), np.uint8))
    return spec


SOFT = np.zeros((6, 8), np.uint8)
SOFT[:, 3:] = 128, 255, 255, 255, 255


def grey(root: Path) -> str:
    spec = pairs(root)
    for number in (2, 7):
        write_mask(root / "masks" / f"{number}.png", SOFT)
    return spec


def stray(root: Path) -> str:
    spec = pairs(root)
    for name in ("x", "y", "z"):
        write_image(root / "images" / f"{name}.png")
    return spec


def incomplete(root: Path) -> str:
    for number in range(1, 11):
        write_image(root / "ecssd" / "images" / f"{number:04d}.jpg")
        write_mask(root / "ecssd" / "masks" / f"{number:04d}.png")
    return "ecssd"


def known_wrong(root: Path) -> str:
    for part, names in (("DUTS-TR", ["a"]), ("DUTS-TE", [WRONG_MASK, "b", "c", "d", "e"])):
        for name in names:
            write_image(root / "duts" / part / f"{part}-Image" / f"{name}.jpg")
            write_mask(root / "duts" / part / f"{part}-Mask" / f"{name}.png")
    return "duts"


def verified(spec: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verified:
    """Exit code, first line, and the findings as (error or note, kind, the rest)."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("BENCH_DATA", str(root))
    capsys.readouterr()
    code = main(["data", "verify", spec])
    first, *lines = capsys.readouterr().out.splitlines()
    return code, first, [tuple(line.split(maxsplit=2)) for line in lines]


def test_a_good_copy_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = pairs(tmp_path)
    assert verified(spec, tmp_path, monkeypatch, capsys) == (0, f"{spec}: 0 findings, 0 of them errors", [])


@pytest.mark.parametrize(
    ("make", "level", "kind", "where", "says"),
    [
        (unreadable, "error", "unreadable", "images/3.png", ""),
        (of_another_size, "error", "size", "masks/4.png", "5"),
        (grey, "note", "non-binary", "masks/2.png", "2 of 10 masks"),
        (stray, "note", "stray", "images", "x.png, y.png, z.png"),
        (incomplete, "note", "count", "ecssd", "10 of 1000 pairs"),
        (known_wrong, "note", "defect", f"DUTS-TE-Mask/{WRONG_MASK}.png", ""),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_kind_is_found_where_it_is(
    make: Callable[[Path], str],
    level: str,
    kind: str,
    where: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = make(tmp_path)
    code, first, findings = verified(spec, tmp_path, monkeypatch, capsys)
    errors = 1 if level == "error" else 0
    assert code == (2 if errors else 0)
    assert first == f"{spec}: {len(findings)} findings, {errors} of them errors"
    # A copy with a known defect is a partial one, too.
    assert {found[1] for found in findings} == {kind, *(["count"] if kind == "defect" else [])}
    ((found_level, _, text),) = [found for found in findings if found[1] == kind]
    assert found_level == level and f"{where}: " in text and says in text


def test_several_at_once_and_errors_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = pairs(tmp_path)
    truncate(tmp_path / "images" / "3.png")
    write_mask(tmp_path / "masks" / "4.png", np.zeros((5, 8), np.uint8))
    write_mask(tmp_path / "masks" / "7.png", SOFT)
    write_image(tmp_path / "images" / "x.png")
    code, first, findings = verified(spec, tmp_path, monkeypatch, capsys)
    assert code == 2 and first == f"{spec}: 4 findings, 2 of them errors"
    assert sorted(kind for _, kind, _ in findings) == ["non-binary", "size", "stray", "unreadable"]


def test_a_dataset_that_is_not_here_is_one_line_and_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert main(["data", "verify", "kvasir"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("bench: error: ") and captured.err.count("\n") == 1


def test_without_names_all_that_are_here_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    incomplete(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert main(["data", "verify"]) == 0
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert sorted(names) == ["ecssd", "quickstart"]  # the second needs no files
