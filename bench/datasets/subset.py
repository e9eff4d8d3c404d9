"""Parts of a split (a random sample, for ``--limit``; those a base has maps for) and splits put together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property

from bench.contracts import Dataset, Sample, SideBySide
from bench.datasets.pairs import Digests, PairDataset


class Subset:
    """The samples of ``dataset`` with the given ids, in the dataset's order: `bench.contracts.Dataset`."""

    def __init__(self, dataset: Dataset, ids: Iterable[str]) -> None:
        wanted = set(ids)
        self._dataset = dataset
        self._indices = [index for index, sample_id in enumerate(dataset.ids) if sample_id in wanted]
        self.name, self.split = dataset.name, dataset.split

    @property
    def ids(self) -> Sequence[str]:
        return [self._dataset.ids[index] for index in self._indices]

    @property
    def side_by_side(self) -> bool:
        """See `bench.contracts.SideBySide`."""
        return _side_by_side(self._dataset)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int, /) -> Sample:
        return self._dataset[self._indices[index]]

    @property
    def digests(self) -> Digests | None:
        """Of its samples' files; None where it is not made of pairs."""
        whole = digests_of(self._dataset)
        return None if whole is None else {sample_id: whole[sample_id] for sample_id in self.ids}

    def fingerprint(self) -> str:
        """Hash of the whole split's fingerprint and of the ids chosen."""
        chosen = "\n".join([self._dataset.fingerprint(), *self.ids])
        return hashlib.blake2b(chosen.encode(), digest_size=16).hexdigest()


class Part(Subset):
    """As `Subset`, but what is outside of it plays no part in its fingerprint, which is remembered."""

    def fingerprint(self) -> str:
        """Hash of its own samples: of pairs of files, what a split of these pairs alone has; else ids and arrays."""
        return self._pairs.fingerprint() if self._pairs is not None else self._of_arrays

    @property
    def digests(self) -> Digests | None:
        """See `Subset.digests`."""
        return None if self._pairs is None else self._pairs.digests

    @cached_property
    def _pairs(self) -> PairDataset | None:
        return pairs_of(self)

    @cached_property
    def _of_arrays(self) -> str:
        total = hashlib.blake2b(digest_size=16)
        for whole in map(self.__getitem__, range(len(self))):
            for sample in (whole, *whole.support):
                total.update(f"{sample.id}\0{sample.image.shape}\0".encode())
                total.update(sample.image.tobytes() + sample.mask.tobytes())
            total.update(b"\n")
        return total.hexdigest()


def pairs_of(split: Dataset) -> PairDataset | None:
    """The samples of a split as a split of pairs of files of its own; None where it is not made of such."""
    indices = list(range(len(split)))
    while isinstance(split, Subset):
        inner = split
        split, indices = inner._dataset, [inner._indices[index] for index in indices]
    return split.some(indices) if isinstance(split, PairDataset) else None


def digests_of(split: Dataset) -> Digests | None:
    """Of the files of a split's samples, by id; None where it is not made of pairs. Raises UserError as to hash it."""
    return split.digests if isinstance(split, PairDataset | Subset) else None


def _side_by_side(split: Dataset) -> bool:
    return isinstance(split, SideBySide) and split.side_by_side


class Joined:
    """The samples of several splits, one after the other, under the first one's name: `bench.contracts.Dataset`.

    Args:
        parts: at least one; no id may be in two of them.
    """

    def __init__(self, *parts: Dataset) -> None:
        self._parts = parts
        self._places = [(part, index) for part in parts for index in range(len(part))]
        self.name, self.split = parts[0].name, parts[0].split

    @property
    def ids(self) -> Sequence[str]:
        return [sample_id for part in self._parts for sample_id in part.ids]

    @property
    def side_by_side(self) -> bool:
        """See `bench.contracts.SideBySide`."""
        return all(_side_by_side(part) for part in self._parts)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int, /) -> Sample:
        part, place = self._places[index]
        return part[place]

    def fingerprint(self) -> str:
        """Hash of the parts' fingerprints."""
        prints = "\n".join(part.fingerprint() for part in self._parts)
        return hashlib.blake2b(prints.encode(), digest_size=16).hexdigest()
