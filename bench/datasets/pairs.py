"""Image and mask files that belong together, and the split that reads them one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from bench import images
from bench.contracts import Finding, Image, Mask, Sample, Split, UserError
from bench.runtime.reading import changed, digest_of, digests_of

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

    @property
    def files(self) -> tuple[Path, ...]:
        """Image and mask, then those of the support."""
        return (self.image, self.mask, *(path for other in self.support for path in other.files))


Digests: TypeAlias = Mapping[str, tuple[bytes, ...]]
"""Of the samples of a split, by id: the digests of their files, in the order of `Pair.files`."""


class PairReader:
    """How the files of a pair become a sample. A dataset whose files need more derives from this.

    Several threads may read with one at once.
    """

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
        self._check_stored(pair)
        truth = self.truth(pair.mask)
        image, mask = self.fit(pair, images.read_image(pair.image, like=truth.mask.shape), truth.mask)
        return Sample(pair.id, image, mask, tuple(self.sample(other) for other in pair.support), truth.ignore)

    def _check_stored(self, pair: Pair) -> None:
        """By the headers alone, before either file takes memory; the image as it is stored, or turned by its EXIF."""
        image, mask = images.stored_size(pair.image), images.stored_size(pair.mask)
        if all((found := self.check_size(pair, size, mask)) and found.error for size in (image[::-1], image)):
            self._refuse(self.check_size(pair, image, mask))

    def fit(self, pair: Pair, image: Image, mask: Mask) -> tuple[Image, Mask]:
        """The two arrays at one size. Raises UserError where `check_size` finds an error."""
        self._refuse(self.check_size(pair, image.shape[:2], mask.shape))
        return image, mask

    def _refuse(self, problem: Finding | None) -> None:
        if problem is not None:
            raise UserError(problem.message, problem.where, "replace the wrong one, or take both out of the folder")


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

    @property
    def ids(self) -> Sequence[str]:
        return self._ids

    @property
    def side_by_side(self) -> bool:
        """See `bench.contracts.SideBySide`."""
        return True

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
        total = hashlib.blake2b(digest_size=16)
        for pair in self._pairs:
            digests = iter(self.digests[pair.id])
            for part in (pair, *pair.support):
                total.update(part.id.encode() + b"\0")
                total.update(next(digests) + next(digests))
            total.update(b"\n")
        return total.hexdigest()

    @cached_property
    def digests(self) -> Digests:
        """What the files hold; read once. Raises UserError as `fingerprint`."""
        # Queries of one class share their support files.
        known = digests_of(list(dict.fromkeys(path for pair in self._pairs for path in pair.files)), _digest)
        return {pair.id: tuple(known[path] for path in pair.files) for pair in self._pairs}

    def expecting(self, index: int, digests: tuple[bytes, ...]) -> Sample:
        """A sample of files that hold what they held.

        Raises:
            UserError: as to read it; or a file has changed, or another one is in its place.
        """
        files = self._pairs[index].files
        if len(files) != len(digests):
            raise changed(files[0])
        expected = dict(zip(files, digests, strict=True))
        try:
            with images.expecting(expected):
                return self[index]
        except UserError:
            # Whatever else is wrong with a file: where it has changed, that is why.
            for path, digest in expected.items():
                if _digest(path) != digest:
                    raise changed(path) from None
            raise


def _digest(path: Path) -> bytes:
    try:
        return digest_of(path)
    except OSError as error:
        problem = f"cannot read the file, {error.strerror}"
        raise UserError(problem, path, "restore it, or take its id out of the split") from None
