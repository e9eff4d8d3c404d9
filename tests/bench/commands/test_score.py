"""`bench score` over several processes: the same table, the same errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage

from bench import score
from bench.cli import main
from bench.commands import scoring
from bench.contracts import UserError
from tests.bench.conftest import Toy


@pytest.mark.parametrize("workers", [2, None])
def test_the_table_is_the_same_whoever_scores(
    workers: int | None, toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("disc1.png", "disc7.png"):
        with PillowImage.open(toy.maps / name) as picture:
            picture.resize((11, 13)).save(toy.maps / name)
    expected = score(toy.masks, toy.maps, resize=True, metric=["dice"], workers=1)
    said = capsys.readouterr().err
    monkeypatch.setattr(scoring, "TRIAL", 1e-3)  # seconds, in which one image or a few are scored
    monkeypatch.setattr(scoring, "WORTH", 1e-9)
    monkeypatch.setattr(scoring, "cores", lambda: 2)
    found = score(toy.masks, toy.maps, resize=True, metric=["dice"], workers=workers)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert found.attrs == expected.attrs and found.attrs["remarks"]
    assert capsys.readouterr().err == said


def test_an_image_that_cannot_be_scored_is_one_line(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    file = toy.maps / "disc6.png"
    file.write_bytes(file.read_bytes()[:-30])
    lines = []
    for workers in "12":
        assert main(["score", "--masks", str(toy.masks), "--maps", str(toy.maps), "--workers", workers]) == 2
        lines.append(capsys.readouterr().err.splitlines()[-1])
    assert lines[0] == lines[1] and str(file) in lines[0] and "unreadable" in lines[0]


def test_a_few_images_are_scored_here(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runtime.crew.Child", None)
    assert len(score(toy.masks, toy.maps)) == 10


def test_warnings_are_of_all_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("masks", "maps"):
        (tmp_path / folder).mkdir()
        for number in range(20):
            values = np.zeros((6, 7), np.uint8)
            values[:, :3] = 255 if number == 19 and folder == "masks" else 0
            PillowImage.fromarray(values).save(tmp_path / folder / f"{number:02}.png")
    score(tmp_path / "masks", tmp_path / "maps", map_scale=255, workers=2)
    said = capsys.readouterr().err
    assert "every mask is empty" not in said and "no map reaches 0.5" in said


def test_no_workers_are_refused(toy: Toy) -> None:
    with pytest.raises(UserError, match=r"wrong value 0 \(--workers\)"):
        score(toy.masks, toy.maps, workers=0)
