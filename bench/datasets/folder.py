"""Any user's images with masks: two folders of equal names, or a CSV of pairs."""

from __future__ import annotations

import csv as csv_format
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path

from bench.contracts import SPLITS, Finding, Image, Mask, Split, UserError
from bench.datasets.pairs import Pair, PairReader
from bench.datasets.source import Listing, PairSource
from bench.datasets.splits import split_off
from bench.images import IMAGE_SUFFIXES, MaskFiles, Truth
from bench.runtime.folders import kind_of
from bench.runtime.names import Side, canonical, check_id, match, side
from bench.runtime.reading import read_text


class FolderReader(PairReader):
    """Masks of any coding that is clear or told: `bench.images.MaskFiles`."""

    def __init__(self, masks: MaskFiles) -> None:
        self.masks = masks

    def levels(self, path: Path) -> Image:
        return self.masks.levels(path)

    def mask(self, path: Path) -> Mask:
        return self.truth(path).mask

    def truth(self, path: Path) -> Truth:
        return self.masks.read(path)


class Folder(PairSource):
    """``folder[images=DIR,masks=DIR]`` or ``folder[csv=FILE]``.

    In folders, an image and a mask of the same path below their folders, but for the suffix, are a pair; that path is
    the sample's id, see `bench.runtime.names`. A CSV has a header with the columns ``image`` and ``mask`` (paths,
    relative to the CSV) and may have ``id`` (else the image's stem) and ``split`` (``train``, ``val`` or ``test``; else
    the splitter decides).

    Args:
        root: what relative paths are looked up in first; the current folder is second.
        images: folder of images.
        masks: folder of masks.
        csv: table of pairs: columns image, mask and, if need be, id and split.
        val: fraction of the pairs for val.
        test: fraction of the pairs for test; what remains is train, which only a base that is trained here uses:
            ``val=0.5,test=0.5`` gives all to the other two.
        image_pattern: of the images' names, with one ``*`` for the part that is the id: ``*_img``.
        mask_pattern: the same of the masks' names: ``*_mask``.
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
        image_pattern: str = "",
        mask_pattern: str = "",
    ) -> None:
        super().__init__(root=root)
        self.classes, self.ignore = _numbers(classes), _numbers(ignore)
        self.images, self.masks, self.csv = images, masks, csv
        self.val, self.test = val, test
        self.image_pattern, self.mask_pattern = image_pattern, mask_pattern
        self._images_left, self._csv_splits = 0, False
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
        found = match(
            self._side(self.images, "images", self.image_pattern), self._side(self.masks, "masks", self.mask_pattern)
        )
        pairs = [Pair(id_, image, mask) for id_, (image, mask) in found.pairs.items()]
        self._images_left = len(found.first_left)
        return Listing(self._cut(pairs), [*found.first_left.values(), *found.second_left.values()])

    def completeness(self) -> str:
        """``"7 of 10 images have a mask"``, or "" where all have one."""
        pairs = sum(self.found.values())
        return f"{pairs} of {pairs + self._images_left} images have a mask" if self._images_left else ""

    def check_counts(self) -> list[Finding]:
        """Nothing: the images without a mask are named as strays."""
        return []

    @property
    def cuts(self) -> bool:
        """Whether `val` and `test` decide the splits; False where the CSV does. Raises UserError as `listing`."""
        return bool(self.listing.splits) and not self._csv_splits

    def _side(self, folder: Path, noun: str, pattern: str) -> Side:
        option = f"{noun[:-1]}_pattern="
        return side(self._find(folder), IMAGE_SUFFIXES, noun, f"folder[{noun}=...]", option, pattern)

    def _find(self, path: Path) -> Path:
        for candidate in (self.root / path, Path(path)):
            if kind_of(candidate):
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
            image, mask = _there(path.parent / row["image"]), _there(path.parent / row["mask"])
            id_ = canonical(row.get("id") or image.stem)
            if id_ in pairs:
                raise UserError(f"two rows with the id {id_!r}", where, "add a column 'id' of unique names")
            check_id(id_, where)
            pairs[id_] = Pair(id_, image, mask)
        _check_there(pairs.values(), [where for where, _ in rows])
        if "split" not in rows[0][1]:
            return self._cut(list(pairs.values()))
        self._csv_splits = True
        cut: dict[str, list[Pair]] = {split: [] for split in SPLITS}
        for (where, row), pair in zip(rows, pairs.values(), strict=True):
            if row["split"] not in cut:
                raise UserError(f"the split {row['split']!r}", where, f"write one of {', '.join(SPLITS)}")
            cut[row["split"]].append(pair)
        return {split: cut[split] for split in SPLITS}


def _numbers(given: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return () if given is None else (given,) if isinstance(given, int) else given


def _there(path: Path) -> Path:
    """The path as the disk has it, where it has it in another of Unicode's forms."""
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return path if kind_of(path) else next((form for form in forms if kind_of(form)), path)


def _check_there(pairs: Iterable[Pair], where: Sequence[str]) -> None:
    """Raises UserError with the first row that names a file which is not there, and the number of such files."""
    named = [
        (noun, path, row)
        for pair, row in zip(pairs, where, strict=True)
        for noun, path in (("image", pair.image), ("mask", pair.mask))
    ]
    missing = [entry for entry in named if kind_of(entry[1]) != "file"]
    if missing:
        noun, path, row = missing[0]
        more = f", the first of {len(missing)} files that are missing" if len(missing) > 1 else ""
        raise UserError(f"no such {noun}, {path}{more}", row, "correct the row; paths are relative to the CSV's folder")


def _rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """("FILE, line N", row) of a CSV with a header. Raises UserError where it is no such table or a cell is empty."""
    columns = "write a header with the columns image and mask, and optionally id and split"
    try:
        reader = csv_format.DictReader(StringIO(read_text(path), newline=""), skipinitialspace=True)
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
