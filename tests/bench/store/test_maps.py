from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from bench.contracts import UserError
from bench.images import from_uint16, to_uint16
from bench.store import MapCache, Store, maps


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


def test_maps_of_many_sizes_come_back(store: Store) -> None:
    draw = np.random.default_rng(0)
    probs = {f"class/{n}": draw.random((n + 1, 7), dtype=np.float32) for n in range(5)}
    cache = MapCache(store.objects, "maps", list(probs))
    for sample_id, values in probs.items():
        cache.add(sample_id, values, {"seconds": float(len(values)), "peak_gpu_mb": None})
    cache.flush()
    for again in (cache, MapCache(store.objects, "maps")):
        again.check()
        for sample_id, values in probs.items():
            np.testing.assert_allclose(again[sample_id], values, atol=1 / 131070 + 1e-7)
            assert again.cost(sample_id) == {"seconds": float(len(values)), "peak_gpu_mb": None}
        assert again.missing(["class/2", "other"]) == ["other"] and not again.damaged


def test_an_interrupted_prediction_goes_on_after_the_last_shard(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "SHARD_MAPS", 2)
    cache = MapCache(store.objects, "maps", "abcdef")
    for name in "abcde":
        cache.add(name, np.full((3, 3), 0.25, np.float32), {})
    again = MapCache(store.objects, "maps", "abcdef")
    assert again.missing(list("abcdef")) == ["e", "f"]
    again.add("e", np.full((3, 3), 0.75, np.float32), {})
    again.flush()
    assert MapCache(store.objects, "maps")["e"][0, 0] == pytest.approx(0.75, abs=1e-5)
    assert len(store.objects.tree("maps")) == 3


def test_two_that_write_at_once_keep_both_their_shards(store: Store) -> None:
    one, other = (MapCache(store.objects, "maps", "ab") for _ in range(2))
    one.add("a", np.full((2, 2), 0.25, np.float32), {})
    other.add("b", np.full((2, 2), 0.75, np.float32), {})
    one.flush()
    other.flush()
    both = MapCache(store.objects, "maps")
    assert both["a"][0, 0] < 0.5 < both["b"][0, 0]


def test_a_damaged_shard_is_never_read_and_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole = MapCache(store.objects, "maps", "abc")
    for name in "abc":
        whole.add(name, np.full((9, 9), 0.25, np.float32), {"seconds": 1.0})
    whole.flush()
    (path,) = (tmp_path / "maps").glob("*/*")
    content = bytearray(path.read_bytes())
    content[-5:] = bytes(5)  # what a bad disk leaves
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        [MapCache(store.objects, "maps")[name] for name in "abc"]
    again = MapCache(store.objects, "maps")
    again.check()
    assert again.missing(list("abc")) == ["a", "b", "c"] and len(again.damaged) == 1
    again.drop_damaged()
    assert not list((tmp_path / "maps").glob("*/*"))


def filled(store: Store, ids: list[str], start: int = 0) -> None:
    cache = MapCache(store.objects, "maps", ids, start)
    for number, sample_id in enumerate(ids, start):
        cache.add(sample_id, np.full((1, 1), number / 100, np.float32), {})
    cache.flush()


class Opened(set[str]):
    """The blocks whose shards were opened."""

    def __call__(self, path: Path, **more: Any) -> Any:
        self.add(path.parent.name)
        return safe_open(path, **more)


@given(
    block=st.integers(1, 9),
    shard=st.integers(1, 5),
    cuts=st.lists(st.integers(1, 29), max_size=4),
    asked=st.tuples(st.integers(0, 29), st.integers(1, 30)),
)
def test_who_asks_for_some_opens_no_shard_of_other_blocks(
    block: int, shard: int, cuts: list[int], asked: tuple[int, int]
) -> None:
    ids = [f"id {number}" for number in range(30)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "BLOCK", block)
        patch.setattr(maps, "SHARD_MAPS", shard)
        store, opened = Store(folder), Opened()
        edges = [0, *sorted({*cuts}), 30]
        for start, stop in itertools.pairwise(edges):
            filled(store, ids[start:stop], start)
        patch.setattr(maps, "safe_open", opened)
        start, stop = asked[0], min(30, asked[0] + asked[1])
        cache = MapCache(store.objects, "maps", ids[start:stop], start)
        assert cache.missing(ids) == [*ids[:start], *ids[stop:]]
        for number in range(start, stop):
            assert cache[ids[number]][0, 0] == pytest.approx(number / 100, abs=1e-5)
        assert opened == {f"{number // block:04d}" for number in range(start, stop)}
        assert MapCache(store.objects, "maps").missing(ids) == []


def test_maps_of_stores_of_before_lie_in_no_block_and_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    filled(store, ["a", "b"])
    for path in (tmp_path / "maps" / "0000").iterdir():
        path.rename(tmp_path / "maps" / path.name)
    for cache in (MapCache(store.objects, "maps", ["b"], 1), MapCache(store.objects, "maps")):
        assert cache["b"][0, 0] == pytest.approx(0.01, abs=1e-5)
    assert MapCache(store.objects, "maps", ["b"], 1).missing(["a", "b"]) == ["a"]
