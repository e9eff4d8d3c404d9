"""What every dataset made of image and mask files has in common: listing, counting, verifying."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import images
from bench.contracts import SPLITS, Finding, Split, UserError
from bench.datasets.pairs import Pair, PairDataset, PairReader
from bench.datasets.verify import stray_findings, verify_pairs
from bench.runtime.folders import is_hidden
from bench.runtime.names import canonical


@dataclass(frozen=True, slots=True)
class Listing:
    """What a dataset's folder holds.

    Attributes:
        splits: the pairs of each split, in order.
        strays: image files that belong to no pair; left out, and reported by ``bench data verify``.
    """

    splits: Mapping[Split, Sequence[Pair]]
    strays: Sequence[Path] = ()


class PairSource(ABC):
    """A dataset on disk (`bench.contracts.DatasetSource`). Nothing is read before `listing` is needed.

    Args:
        root: the dataset's own folder.

    Attributes:
        name: as in ``--dataset``.
        layout: what the folder holds, for error messages.
        unit: what is counted.
        reader: how the files are read.
    """

    name: str
    layout: str
    unit = "pairs"
    reader = PairReader()

    def __init__(self, *, root: Path) -> None:
        self.root = Path(root)

    @property
    @abstractmethod
    def expected(self) -> Mapping[Split, int]:
        """Number of samples a complete copy has in each split; empty where that is not fixed."""

    @abstractmethod
    def scan(self) -> Listing:
        """List the folder, which exists. Raises UserError where a list or a folder is missing or wrong."""

    @cached_property
    def listing(self) -> Listing:
        """What is there, read once. Raises UserError where the folder is missing or holds no pair."""
        self.check_root()
        found = self.scan()
        if not any(found.splits.values()):
            fix = f"put {self.layout} there, or set BENCH_DATA or [datasets] {self.name} in bench.toml"
            raise UserError(f"no image with a mask in the dataset {self.name!r}", self.root, fix)
        return found

    def check_root(self) -> None:
        """Raises UserError where the dataset's folder is missing."""
        if not self.root.is_dir():
            fix = f"set BENCH_DATA or [datasets] {self.name} in bench.toml to the folder that holds {self.layout}"
            raise UserError(f"no folder of the dataset {self.name!r}", self.root, fix)

    def split(self, split: Split) -> PairDataset:
        """The split, possibly empty. Raises UserError as `listing`."""
        return PairDataset(self.name, split, self.listing.splits.get(split, ()), self.reader)

    @property
    def found(self) -> Mapping[Split, int]:
        """Number of samples there are in each split. Raises UserError as `listing`."""
        return {split: len(self.listing.splits.get(split, ())) for split in SPLITS}

    def completeness(self) -> str:
        """``"6 of 6226 pairs"``, or "" where the copy is complete or no number is fixed."""
        have, want = sum(self.found.values()), sum(self.expected.values())
        return f"{have} of {want} {self.unit}" if want and have != want else ""

    def verify(self) -> list[Finding]:
        """Read every file once and list what is not as it should be. Raises UserError as `listing`."""
        return [
            *self.check_counts(),
            *stray_findings(self.strays()),
            *self.known_defects(),
            *verify_pairs(self.all_pairs(), self.reader, f"verifying {self.name}"),
        ]

    def check_counts(self) -> list[Finding]:
        """Whether the copy is partial."""
        partial = self.completeness()
        message = f"{partial}: the same split rule is applied to what is there"
        return [Finding("count", str(self.root), message, error=False)] if partial else []

    def strays(self) -> Sequence[Path]:
        """Image files that belong to no pair."""
        return self.listing.strays

    def all_pairs(self) -> list[Pair]:
        """Every pair once, in the order of the splits."""
        return [pair for split in SPLITS for pair in self.listing.splits.get(split, ())]

    def known_defects(self) -> list[Finding]:
        """The defects that are publicly known of the dataset, as far as they apply to what is there."""
        return []


def list_images(folder: Path, *suffixes: str) -> dict[str, Path]:
    """Stem -> path of the image files of a folder, sorted by file name; hidden files are left out.

    Args:
        folder: need not exist.
        suffixes: lower-case suffixes to keep; all image formats by default.

    Raises:
        UserError: two files have the same stem.
    """
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.suffix.lower() in (suffixes or images.IMAGE_SUFFIXES) and not is_hidden(path.name):
            stem = canonical(path.stem)
            if stem in found:
                raise UserError(f"{found[stem].name} is there too", path, "keep one file a stem")
            found[stem] = path
    return found


def match_stems(image_files: Mapping[str, Path], mask_files: Mapping[str, Path]) -> tuple[list[Pair], list[Path]]:
    """Pair files of equal stem, in the order of the images; the files left over are the second result."""
    pairs = [Pair(stem, path, mask_files[stem]) for stem, path in image_files.items() if stem in mask_files]
    unmatched = [path for stem, path in image_files.items() if stem not in mask_files]
    unmatched += [path for stem, path in mask_files.items() if stem not in image_files]
    return pairs, unmatched


def first_folder(*candidates: Path) -> Path:
    """The first of the folders that exists; the first of all where none does."""
    return next((path for path in candidates if path.is_dir()), candidates[0])
