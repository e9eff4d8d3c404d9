"""Reading pairs, through the dataset of plain folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import UserError
from bench.datasets.folder import Folder
from tests.bench.datasets.files import of_kind, samples, truncate, write_image, write_mask


def folder(root: Path) -> Folder:
    return Folder(root=root, images=Path("images"), masks=Path("masks"), val=0, test=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for stem in ("a", "b"):
        write_image(tmp_path / "images" / f"{stem}.jpg")
        write_mask(tmp_path / "masks" / f"{stem}.png")
    return tmp_path


def test_a_sample_is_image_and_mask_at_native_size(root: Path) -> None:
    dataset = folder(root).split("test")
    assert sorted(dataset.ids) == ["a", "b"]
    sample = dataset[0]
    assert (sample.id, sample.image.shape, sample.image.dtype) == (dataset.ids[0], (6, 8, 3), np.uint8)
    assert sample.mask.dtype == bool and sample.mask.tolist() == [[True] * 4 + [False] * 4] * 6


def test_a_truncated_image_is_named(root: Path) -> None:
    truncate(root / "images" / "a.jpg")
    source = folder(root)
    with pytest.raises(UserError, match=r"unreadable.*a\.jpg"):
        samples(source.split("test"))
    (finding,) = of_kind(source.verify(), "unreadable")
    assert finding.error and finding.where.endswith("a.jpg")


def test_a_mask_of_another_size_is_named_with_both_sizes(root: Path) -> None:
    write_mask(root / "masks" / "b.png", np.zeros((5, 8), np.uint8))
    source = folder(root)
    with pytest.raises(UserError, match=r"8x5 and its image b\.jpg 8x6 .*masks/b\.png"):
        samples(source.split("test"))
    (finding,) = of_kind(source.verify(), "size")
    assert finding.error and finding.where.endswith("b.png")


def test_a_file_that_vanishes_is_named(root: Path) -> None:
    dataset = folder(root).split("test")
    (root / "masks" / "a.png").unlink()
    with pytest.raises(UserError, match=r"masks/a\.png"):
        samples(dataset)
    with pytest.raises(UserError, match=r"masks/a\.png"):
        dataset.fingerprint()


def test_masks_coded_0_and_1_are_foreground_at_1_and_no_finding(root: Path) -> None:
    for path in (root / "masks").iterdir():
        write_mask(path, np.array([[0, 1] * 4] * 6, np.uint8))
    source = folder(root)
    dataset = source.split("test")
    assert dataset[list(dataset.ids).index("a")].mask.sum() == 24
    assert source.verify() == []


def test_noise_in_jpeg_masks_is_no_foreground(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png", 16, 16)
    write_image(tmp_path / "images" / "b.png", 16, 16)
    half = np.zeros((16, 16), np.uint8)
    half[:, :5] = 255
    write_mask(tmp_path / "masks" / "a.jpg", half)
    write_mask(tmp_path / "masks" / "b.jpg", np.ones((16, 16), np.uint8))
    levels = np.asarray(Image.open(tmp_path / "masks" / "a.jpg"))
    assert set(np.unique(levels)) - {0, 255}  # the file does hold noise
    source = folder(tmp_path)
    masks = {sample.id: sample.mask for sample in samples(source.split("test"))}
    assert masks["a"].tolist() == (half > 127).tolist()
    assert not masks["b"].any()
    (finding,) = source.verify()
    assert finding.kind == "non-binary" and not finding.error
    assert finding.message.startswith("2 of 2 masks") and "> 127" in finding.message


def test_the_fingerprint_follows_ids_and_contents(root: Path) -> None:
    first = folder(root).split("test").fingerprint()
    assert first == folder(root).split("test").fingerprint()
    (root / "masks" / "a.png").rename(root / "masks" / "c.png")
    (root / "images" / "a.jpg").rename(root / "images" / "c.jpg")
    renamed = folder(root).split("test").fingerprint()
    write_mask(root / "masks" / "c.png", np.zeros((6, 8), np.uint8))
    rewritten = folder(root).split("test").fingerprint()
    assert len({first, renamed, rewritten}) == 3


def test_files_without_a_partner_are_left_out_and_reported(root: Path) -> None:
    write_image(root / "images" / "alone.jpg")
    write_image(root / "images" / ".hidden.jpg")
    (root / "images" / "desktop.ini").write_text("")
    source = folder(root)
    assert sorted(source.split("test").ids) == ["a", "b"]
    (finding,) = source.verify()
    assert finding.kind == "stray" and finding.message.startswith("alone.jpg: ") and not finding.error


def test_two_images_of_one_stem_are_refused(root: Path) -> None:
    write_image(root / "images" / "a.png")
    with pytest.raises(UserError, match=r"a\.(jpg|png)"):
        folder(root).split("test")


@pytest.mark.parametrize("coding", ["16-bit, soft", "classes"])
def test_what_is_read_rightly_is_verified_as_such(root: Path, coding: str) -> None:
    values = np.zeros((6, 8), np.uint16 if coding == "16-bit, soft" else np.uint8)
    values[:, 3:] = (32768, 65535, 65535, 65535, 65535) if coding == "16-bit, soft" else (2, 2, 2, 1, 1)
    for path in (root / "masks").iterdir():
        Image.fromarray(values).save(path)
    classes = None if coding == "16-bit, soft" else (1, 2)
    source = Folder(root=root, images=Path("images"), masks=Path("masks"), val=0, test=1, classes=classes)
    assert [sample.mask.sum() for sample in samples(source.split("test"))] == [6 * 5] * len(source.split("test"))
    assert {finding.kind for finding in source.verify()} == ({"non-binary"} if coding == "16-bit, soft" else set())
