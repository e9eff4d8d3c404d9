"""What a split held when a run was planned, and the split as it is read later, held to that."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.contracts import Dataset, DatasetSource, Sample, TellsReading
from bench.datasets.pairs import Digests, PairDataset
from bench.datasets.subset import Subset, digests_of, pairs_of
from bench.runtime.reading import changed


@dataclass(frozen=True)
class Contents:
    """What the samples of a split held. It is picklable.

    Attributes:
        digests: of their files; None for a split that is not made of pairs of files.
        fingerprint: for that, the whole split's; else "".
        pairs: where the files are and how they are read, so that nobody lists the folder again; None where that cannot
            be sent to another process.
    """

    digests: Digests | None
    fingerprint: str = ""
    pairs: PairDataset | None = None
    _parts: dict[tuple[int, int], Contents] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, part: Dataset, whole: Dataset) -> Contents:
        """Those of the samples that are used. Raises UserError as `bench.contracts.Dataset.fingerprint`.

        Args:
            part: the samples that are used.
            whole: the split that they are of.
        """
        digests = digests_of(part)
        return cls(digests, pairs=_portable(pairs_of(part))) if digests is not None else cls(None, whole.fingerprint())

    def part(self, ids: Sequence[str], start: int) -> Contents:
        """Of the samples from number ``start`` on, which have these ids; of what is not made of pairs, all the same."""
        if self.digests is None:
            return self
        key = (start, len(ids))
        if key not in self._parts:  # of all refiners of a base one
            pairs = self.pairs and self.pairs.some(range(start, start + len(ids)))
            assert pairs is None or tuple(pairs.ids) == tuple(ids)
            self._parts[key] = Contents({one: self.digests[one] for one in ids}, pairs=pairs)
        return self._parts[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": {}}


class Planned(Subset):
    """The samples of a split that a run was planned for, in the order that they had: `bench.contracts.Dataset`.

    Args:
        dataset: the split as it is now.
        ids: the samples.
        contents: what they held.

    Raises:
        UserError: here, where the split lacks some of them; on reading one, where its files have changed.
    """

    def __init__(self, dataset: Dataset, ids: Sequence[str], contents: Contents) -> None:
        super().__init__(dataset, ids)
        if len(self._indices) < len(ids):
            gone = sorted({*ids} - {*self.ids})
            said = f"lacks {len(gone)} of its samples since the run was planned, e.g. {gone[0]}"
            raise changed(f"{dataset.name}, {dataset.split}", said, "restore them, or run again")
        places = {sample_id: index for index, sample_id in enumerate(dataset.ids)}
        self._indices = [places[sample_id] for sample_id in ids]
        self._contents = contents

    def __getitem__(self, index: int, /) -> Sample:
        place = self._indices[index]
        digests = self._contents.digests
        if digests is None:
            return self._dataset[place]
        if not isinstance(self._dataset, PairDataset):
            raise changed(f"{self.name}, {self.split}")
        return self._dataset.expecting(place, digests[self._dataset.ids[place]])


def _portable(pairs: PairDataset | None) -> PairDataset | None:
    try:
        pickle.dumps(pairs and pairs.some([]))
    except Exception:  # a plug-in's reader may be anything
        return None
    return pairs


def check_fingerprint(split: Dataset, contents: Contents) -> None:
    """Of a split that is not made of pairs, which is not checked as it is read.

    Raises:
        UserError: it is not what it was.
    """
    if contents.digests is None and split.fingerprint() != contents.fingerprint:
        raise changed(f"{split.name}, {split.split}")


def reading_of(source: DatasetSource) -> str:
    """What a dataset takes its files for, "" where it does not say. Raises UserError where that is unclear."""
    return source.reading() if isinstance(source, TellsReading) else ""
