"""Image and mask files that belong together, and the split that reads them one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import images
from bench.contracts import Finding, Image, Mask, Sample, Split, UserError

LOSSY_SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one sample.

    Attributes:
        id: the sample's id.
        image: the RGB file.
        mask: the ground truth's file.
        support: for few-shot sets, the labelled pairs of the same class.
    """

    id: str
    image: Path
    mask: Path
    support: tuple[Pair, ...] = ()


class PairReader:
    """How the files of a pair become a sample. A dataset whose files need more derives from this."""

    def levels(self, path: Path) -> Image:
        """uint8 ``(H, W)``: the mask before it is binarised. Raises UserError for a missing or damaged file."""
        return images.read_grey(path)

    def mask(self, path: Path) -> Mask:
        """bool ``(H, W)``, binarised at native size. Raises UserError as `levels`."""
        return images.binarise(self.levels(path), lossy=path.suffix.lower() in LOSSY_SUFFIXES)

    def truth(self, path: Path) -> images.Truth:
        """The mask, and its void pixels where there are such. Raises UserError as `levels`."""
        return images.Truth(self.mask(path))

    def check_size(self, pair: Pair, image: tuple[int, int], mask: tuple[int, int]) -> Finding | None:
        """What is to be said about the two files' (height, width), if anything."""
        if image == mask:
            return None
        message = f"the mask is {mask[1]}x{mask[0]} and its image {pair.image.name} {image[1]}x{image[0]}"
        return Finding("size", str(pair.mask), message, error=True)

    def sample(self, pair: Pair) -> Sample:
        """Read a pair, with its support. Raises UserError for a missing, damaged or odd-sized file."""
        truth = self.truth(pair.mask)
        image, mask = self.fit(pair, images.read_image(pair.image, like=truth.mask.shape), truth.mask)
        return Sample(pair.id, image, mask, tuple(self.sample(other) for other in pair.support), truth.ignore)

    def fit(self, pair: Pair, image: Image, mask: Mask) -> tuple[Image, Mask]:
        """The two arrays at one size. Raises UserError where `check_size` finds an error."""
        problem = self.check_size(pair, image.shape[:2], mask.shape)
        if problem is not None:
            raise UserError(problem.message, problem.where, "replace the wrong one, or take both out of the folder")
        return image, mask


class PairDataset:
    """One split of pairs (`bench.contracts.Dataset`): reads a sample when it is asked for, keeps none.

    Args:
        name: the dataset's name.
        split: which split this is.
        pairs: its pairs, in order.
        reader: how they are read.
    """

    def __init__(self, name: str, split: Split, pairs: Sequence[Pair], reader: PairReader) -> None:
        self.name = name
        self.split: Split = split
        self._pairs = list(pairs)
        self._reader = reader
        self._ids = tuple(pair.id for pair in pairs)
        self._fingerprint: str | None = None

    @property
    def ids(self) -> Sequence[str]:
        return self._ids

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int, /) -> Sample:
        """The sample at its native size. Raises UserError that names the file which is missing or wrong."""
        return self._reader.sample(self._pairs[index])

    def some(self, indices: Sequence[int]) -> PairDataset:
        """Some of its pairs as a split of their own."""
        return PairDataset(self.name, self.split, [self._pairs[index] for index in indices], self._reader)

    def fingerprint(self) -> str:
        """Hex digest (128 bits, BLAKE2b) of ids and file contents, in order; read once and remembered.

        Raises:
            UserError: a file cannot be read.
        """
        if self._fingerprint is None:
            total = hashlib.blake2b(digest_size=16)
            digests: dict[Path, bytes] = {}  # queries of one class share their support files
            for pair in self._pairs:
                for part in (pair, *pair.support):
                    total.update(part.id.encode() + b"\0")
                    for path in (part.image, part.mask):
                        if path not in digests:
                            digests[path] = _digest(path)
                        total.update(digests[path])
                total.update(b"\n")
            self._fingerprint = total.hexdigest()
        return self._fingerprint


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as error:
        problem = f"cannot read the file, {error.strerror}"
        raise UserError(problem, path, "restore it, or take its id out of the split") from None
