"""Any user's images with masks: two folders of equal stems, or a CSV of pairs."""

from __future__ import annotations

import csv as csv_format
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.contracts import SPLITS, Image, Mask, Split, UserError
from bench.datasets.pairs import Pair, PairReader
from bench.datasets.source import Listing, PairSource, list_images, match_stems
from bench.datasets.splits import split_off
from bench.images import MaskFiles, Truth, read_grey


class FolderReader(PairReader):
    """Masks of any coding that is clear or told: `bench.images.MaskFiles`."""

    def __init__(self, masks: MaskFiles) -> None:
        self.masks = masks

    def levels(self, path: Path) -> Image:
        coding = self.masks.coding
        soft = coding is not None and coding.foreground is None
        mask = self.mask(path)
        return read_grey(path) if soft else mask.astype(np.uint8) * np.uint8(255)

    def mask(self, path: Path) -> Mask:
        return self.truth(path).mask

    def truth(self, path: Path) -> Truth:
        return self.masks.read(path)


class Folder(PairSource):
    """``folder[images=DIR,masks=DIR]`` or ``folder[csv=FILE]``.

    In folders, an image and a mask of equal stem are a pair, and the stem is the sample's id. A CSV has the
    columns ``image`` and ``mask`` (paths, relative to the CSV) and may have ``id`` (else the image's stem) and
    ``split`` (``train``, ``val`` or ``test``; else the splitter decides).

    Args:
        root: what relative paths are looked up in first; the current folder is second.
        images: folder of images.
        masks: folder of masks.
        csv: table of pairs.
        val: fraction of the pairs for val.
        test: fraction of the pairs for test; what remains is train.
        classes: grey values or palette indices of the masks that are the foreground, ``1`` or ``[1,2]``; None finds
            out, see `bench.images.masks`.
        ignore: those whose pixels no metric counts; what learns takes them for background.

    Raises:
        UserError: neither two folders nor a CSV are given, or the fractions are no fractions.
    """

    name = "folder"
    version = 2
    layout = "images and masks of equal stem"

    def __init__(
        self,
        *,
        root: Path,
        images: Path | None = None,
        masks: Path | None = None,
        csv: Path | None = None,
        val: float = 0.2,
        test: float = 0.2,
        classes: int | tuple[int, ...] | None = None,
        ignore: int | tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(root=root)
        self.classes, self.ignore = _numbers(classes), _numbers(ignore)
        self.images, self.masks, self.csv = images, masks, csv
        self.val, self.test = val, test
        if (csv is None) != (images is not None and masks is not None) or (csv and (images or masks)):
            fix = "give folder[images=DIR,masks=DIR] or folder[csv=FILE]"
            raise UserError("the dataset 'folder' needs two folders or one CSV", "folder[...]", fix)
        if val < 0 or test < 0 or val + test > 1 + 1e-9:
            fix = "give two fractions that make no more than 1"
            raise UserError(f"val={val:g} and test={test:g}", "folder[val=...,test=...]", fix)

    @cached_property
    def reader(self) -> FolderReader:  # type: ignore[override]
        masks = [pair.mask for pair in self.all_pairs()]
        return FolderReader(MaskFiles(masks, self.classes, self.ignore))

    def reading(self) -> str:
        """What the masks were taken for. Raises UserError as `bench.images.MaskFiles.said`."""
        return f"masks: {self.reader.masks.said()}"

    @property
    def expected(self) -> Mapping[Split, int]:
        return {}

    def check_root(self) -> None:
        """Nothing to check: the root only serves to look up relative paths."""

    def scan(self) -> Listing:
        if self.csv is not None:
            return Listing(self._read_csv(self._find(self.csv)))
        assert self.images is not None and self.masks is not None
        image_files = list_images(self._find(self.images))
        if not image_files:
            raise UserError("no image in the folder", self._find(self.images), "name the folder that holds them")
        pairs, strays = match_stems(image_files, list_images(self._find(self.masks)))
        if not pairs:
            fix = "give each mask the file name of its image; the suffix may differ"
            raise UserError(f"no mask has the stem of an image in {self.images}", self.masks, fix)
        return Listing(self._cut(pairs), strays)

    def _find(self, path: Path) -> Path:
        for candidate in (self.root / path, Path(path)):
            if candidate.exists():
                return candidate
        raise UserError("no such file or folder", path, f"paths are relative to {self.root} or the current folder")

    def _cut(self, pairs: list[Pair]) -> dict[Split, list[Pair]]:
        rest, test = split_off(pairs, self.test)
        train, val = split_off(rest, self.val / (1 - self.test) if self.test < 1 else 0.0)
        return {"train": train, "val": val, "test": test}

    def _read_csv(self, path: Path) -> Mapping[Split, list[Pair]]:
        rows = _rows(path)
        pairs: dict[str, Pair] = {}
        for where, row in rows:
            image, mask = path.parent / row["image"], path.parent / row["mask"]
            id_ = row.get("id") or image.stem
            if id_ in pairs:
                raise UserError(f"two rows with the id {id_!r}", where, "add a column 'id' of unique names")
            if any(part in ("", ".", "..") for part in id_.split("/")):
                raise UserError(f"the id {id_!r}", where, "use names without empty parts, '.' and '..'")
            pairs[id_] = Pair(id_, image, mask)
        if "split" not in rows[0][1]:
            return self._cut(list(pairs.values()))
        cut: dict[str, list[Pair]] = {split: [] for split in SPLITS}
        for (where, row), pair in zip(rows, pairs.values(), strict=True):
            if row["split"] not in cut:
                raise UserError(f"the split {row['split']!r}", where, f"write one of {', '.join(SPLITS)}")
            cut[row["split"]].append(pair)
        return {split: cut[split] for split in SPLITS}


def _numbers(given: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return () if given is None else (given,) if isinstance(given, int) else given


def _rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """("FILE, line N", row) of a CSV with a header. Raises UserError where it is no such table or a cell is empty."""
    columns = "write a header with the columns image and mask, and optionally id and split"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv_format.DictReader(file, skipinitialspace=True)
            missing = {"image", "mask"} - set(reader.fieldnames or ())
            if missing:
                raise UserError(f"no column {' and '.join(sorted(missing))}", path, columns)
            rows = [(f"{path}, line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv_format.Error) as error:
        raise UserError(f"unreadable CSV, {error}", path, columns) from None
    if not rows:
        raise UserError("a CSV without rows", path, "write one row a pair")
    for where, row in rows:
        if not row["image"] or not row["mask"]:
            raise UserError("a row without image or mask", where, "name both files, or take the row out")
    return rows
