from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.execution import maps
from bench.execution.maps import MapCache
from bench.images import from_uint16, to_uint16


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50))
def test_sixteen_bits_keep_the_value_and_the_decision(values: list[float]) -> None:
    probs = np.array([values], np.float32)
    restored = from_uint16(to_uint16(probs))
    assert np.abs(restored.astype(np.float64) - probs).max() <= 1 / 131070 + 1e-7
    assert ((restored >= 0.5) == (probs >= 0.5)).all()


def test_the_neighbours_of_one_half_stay_on_their_sides() -> None:
    half = np.float32(0.5)
    probs = np.array([[np.nextafter(half, np.float32(0)), half, np.nextafter(half, np.float32(1))]], np.float32)
    assert (from_uint16(to_uint16(probs)) >= 0.5).tolist() == [[False, True, True]]


def test_maps_of_many_sizes_come_back(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    probs = {f"class/{n}": draw.random((n + 1, 7), dtype=np.float32) for n in range(5)}
    cache = MapCache(tmp_path / "maps")
    for sample_id, values in probs.items():
        cache.add(sample_id, values, {"seconds": float(len(values)), "peak_gpu_mb": None})
    cache.flush()
    for again in (cache, MapCache(tmp_path / "maps")):
        for sample_id, values in probs.items():
            np.testing.assert_allclose(again[sample_id], values, atol=1 / 131070 + 1e-7)
            assert again.cost(sample_id) == {"seconds": float(len(values)), "peak_gpu_mb": None}
        assert again.missing(["class/2", "other"]) == ["other"]


def test_an_interrupted_prediction_goes_on_after_the_last_whole_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "SHARD_MAPS", 2)
    cache = MapCache(tmp_path)
    for name in "abcde":
        cache.add(name, np.full((3, 3), 0.25, np.float32), {})
    (tmp_path / "0002.u16").write_bytes(b"torn")  # killed between data and index
    again = MapCache(tmp_path)
    assert again.missing(list("abcdef")) == ["e", "f"]
    again.add("e", np.full((3, 3), 0.75, np.float32), {})
    again.flush()
    assert MapCache(tmp_path)["e"][0, 0] == pytest.approx(0.75, abs=1e-5)
