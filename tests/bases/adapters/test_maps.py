from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.bases.adapters.maps import Maps
from bench.contracts import Sample, UserError


def sample(name: str) -> Sample:
    return Sample(name, np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.bool_))


def test_every_format_gives_the_same_map(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    values = np.array([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]])
    np.save(tmp_path / "float.npy", values)
    np.save(tmp_path / "byte.npy", (values * 255).round().astype(np.uint8))
    Image.fromarray((values * 255).round().astype(np.uint8)).save(tmp_path / "class" / "1.png")
    Image.fromarray((values * 65535).round().astype(np.uint16)).save(tmp_path / "deep.png")
    for name in ("float", "byte", "class/1", "deep"):
        (probs,) = Maps(path=tmp_path).predict([sample(name)])
        assert probs.dtype == np.float32
        np.testing.assert_allclose(probs, values, atol=1e-6)


def test_gaps_are_counted_and_named_or_dropped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    ids = ["a", *(f"gap{n}" for n in range(5))]
    with pytest.raises(UserError, match=r"5 of 6 samples have no map: gap0, gap1, gap2, \.\.\."):
        Maps(path=tmp_path).covered(ids)
    assert Maps(path=tmp_path, missing="drop").covered(ids) == ["a"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((3, 2)), "resize=true"),
        (np.full((2, 3), np.nan), "6 NaN"),
        (np.full((2, 3), 7.0), "sigmoid"),
        (np.zeros((2, 3, 4)), "shape"),
    ],
)
def test_what_is_no_map_is_said(tmp_path: Path, values: np.ndarray, says: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(UserError, match=says) as raised:
        Maps(path=tmp_path).predict([sample("a")])
    assert "a.npy" in str(raised.value)
