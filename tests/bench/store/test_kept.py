"""Pictures of single images: they come back as they were written, count for their own records alone, and can go."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import bench
from bench.commands.store import check_store, collect_garbage
from bench.contracts import UserError
from bench.images import webp
from bench.store import KeptImage, Manifest, Store
from tests.bench.conftest import Toy
from tests.bench.store.test_cells import manifest, records


def put(store: Store, number: int) -> KeptImage:
    """Pictures of an image whose base's map, image and truth do not depend on the number."""
    refined = np.full((4, 5), number / 10, np.float32)
    return KeptImage(
        id=f"x/{number}",
        why=("worst",),
        image=store.add_picture(webp.image_bytes(np.full((4, 5, 3), 7, np.uint8))),
        truth=store.add_picture(webp.truth_bytes(np.eye(4, 5, dtype=bool))),
        base=store.add_picture(webp.map_bytes(np.zeros((4, 5), np.float32))),
        refined=store.add_picture(webp.map_bytes(refined)),
    )


def finished(store: Store, **changes: object) -> Manifest:
    cell = manifest(**changes)
    store.add(cell, records("x/1", "x/2"))
    found = store.find(cell)
    assert found is not None
    return found


def test_pictures_come_back_and_equal_ones_are_one(store: Store) -> None:
    cell = finished(store)
    assert store.kept(cell.key) == ()
    images = (put(store, 1), put(store, 2))
    store.keep_images(cell, images)
    assert Store(store.address).kept(cell.key) == images
    assert len(store.pictures()) == 5
    codes = webp.read_codes(store.picture(images[1].refined))
    assert np.array_equal(codes, np.full((4, 5), 51))
    assert check_store(store.address) == [] and collect_garbage(store.address) == []


def test_a_run_keeps_pictures_in_either_kind_of_store(toy: Toy, store: Store) -> None:
    for keep_maps in ("random:1", "all"):
        bench.run(
            dataset=[toy.dataset],
            base=[toy.base],
            refiner=["threshold"],
            store=store.address,
            device="cpu",
            engine="inline",
            keep_maps=keep_maps,
        )
        found = [store.kept(cell.key) for cell in store.manifests()]
        assert len(found) == 2 and all(found)
        for image in (image for images in found for image in images):
            assert all(store.picture(name) for name in image.pictures)
    assert {image.why for images in found for image in images} == {("all",)}
    assert check_store(store.address) == [] and collect_garbage(store.address) == []


def test_pictures_are_of_the_records_that_they_were_made_for(store: Store) -> None:
    first = finished(store, generation=1)
    store.keep_images(first, [put(store, 1)])
    again = finished(store, generation=2, environment={"run": "again"})
    assert again.records != "" and store.kept(first.key) != ()  # equal records have equal pictures
    store.add(manifest(generation=3), records("x/1"))
    assert store.kept(first.key) == ()
    gone = [garbage.name for garbage in collect_garbage(store.address)]
    assert f"kept/{first.key}.json" in gone and len(gone) == 5 and store.pictures() == set()


def test_what_no_list_names_is_garbage_unless_a_run_is_at_work(store: Store) -> None:
    cell = finished(store)
    store.keep_images(cell, [put(store, 1)])
    extra = put(store, 3).refined
    lease = store.leases.take("kept-other")
    assert lease is not None
    with store.leases.keeping():
        assert collect_garbage(store.address, dry_run=True) == []
    store.leases.give_back(lease)
    assert [garbage.name for garbage in collect_garbage(store.address)] == [extra]
    assert len(store.kept(cell.key)) == 1 and extra not in store.pictures()


@pytest.mark.parametrize("content", [b"", b"RIFF, but another", None])
def test_a_damaged_or_missing_picture_is_named_and_taken_out(store: Store, content: bytes | None) -> None:
    cell = finished(store)
    images = [put(store, 1), put(store, 2)]
    store.keep_images(cell, images)
    name = images[0].refined
    if content is None:
        store.objects.delete(name)
    else:
        store.objects.replace(name, content)
    with pytest.raises(UserError, match=r"gone|damaged"):
        store.picture(name)
    (damage,) = check_store(store.address, repair=True)
    assert damage.where == f"{store.address}/{name}"
    assert check_store(store.address) == [] and store.kept(cell.key) == (images[1],)


@pytest.mark.parametrize("old", [b'"id"', b"kept/", b'"seal"'])
def test_a_damaged_list_counts_as_none(store: Store, old: bytes) -> None:
    cell = finished(store)
    store.keep_images(cell, [put(store, 1)])
    name = f"kept/{cell.key}.json"
    store.objects.replace(name, store.objects.read(name).replace(old, b'"xx"', 1))
    assert store.kept(cell.key) == ()
    (damage,) = check_store(store.address, repair=True)
    assert damage.where.endswith(name) and check_store(store.address) == []


def test_a_list_names_pictures_alone(store: Store) -> None:
    cell = finished(store)
    outside = dataclasses.replace(put(store, 1), image=f"cells/{cell.file}.json")
    store.keep_images(cell, [outside])
    assert store.kept(cell.key) == ()
    with pytest.raises(UserError, match="no picture's name"):
        store.picture(outside.image)


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 1, width=32)))
def test_a_map_in_8_bits_has_the_same_mask(probs: np.ndarray) -> None:
    codes = webp.read_codes(webp.map_bytes(probs))
    assert np.array_equal(codes >= 128, probs >= 0.5)
    assert np.abs(codes / 255 - probs).max() <= 0.5 / 255 + 1e-6


def test_just_under_one_half_is_no_foreground() -> None:
    probs = np.array([[0.5, np.nextafter(np.float32(0.5), np.float32(0))]], np.float32)
    assert webp.read_codes(webp.map_bytes(probs)).tolist() == [[128, 127]]


def test_a_truth_keeps_its_void() -> None:
    codes = webp.read_codes(webp.truth_bytes(np.array([[True, False, True]]), np.array([[False, False, True]])))
    assert codes.tolist() == [[255, 0, 128]]


def test_a_picture_that_webp_cannot_hold_is_refused() -> None:
    with pytest.raises(UserError, match="16383"):
        webp.map_bytes(np.zeros((1, 16384), np.float32))
