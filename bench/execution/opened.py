"""A dataset that a grid names, opened once for all its cells."""

from __future__ import annotations

from functools import cached_property

from bench.contracts import SPLITS, BaseNetwork, Dataset, DatasetSource, Episodic, PartialBase, Split
from bench.datasets.planned import Contents, reading_of
from bench.datasets.splits import drawn
from bench.datasets.subset import Part, Subset
from bench.runtime.progress import note


class Opened:
    """A dataset's splits, as the bases of a grid see them.

    Args:
        source: the dataset.
        limit: of each split a random sample of so many is taken; None takes all.
    """

    def __init__(self, source: DatasetSource, limit: int | None) -> None:
        self.source, self.limit = source, limit
        self.whole: dict[Split, Dataset] = {name: source.split(name) for name in SPLITS}
        # Kept, as a part remembers the hash of its files.
        self._parts: dict[tuple[Split, frozenset[str]], Part] = {}
        self._contents: dict[int, tuple[Dataset, Contents]] = {}

    def covered(self, base: BaseNetwork) -> dict[Split, Dataset]:
        """The splits without a limit: those samples that a partial base has maps for."""
        if not isinstance(base, PartialBase):
            return self.whole
        # Both splits in one question, so that an error counts every gap at once.
        asked = [sample_id for name in ("val", "test") for sample_id in self.whole[name].ids]
        covered = base.covered(asked)
        if len(covered) < len(asked):
            gone = len(asked) - len(covered)
            note(f"{gone} of {len(asked)} samples of val and test have no map; they are dropped")
        return self.whole | {name: Subset(self.whole[name], covered) for name in ("val", "test")}

    def limited(self, splits: dict[Split, Dataset]) -> dict[Split, Dataset]:
        """What the limit leaves of each split; one that it does not cut is as it was."""
        return {name: self._limited(name, split) for name, split in splits.items()}

    def contents(self, name: Split, split: Dataset) -> Contents:
        """What its samples hold, as all bases that see this same split share it."""
        if id(split) not in self._contents:  # kept with it, so that the number stays its own
            self._contents[id(split)] = split, Contents.of(split, self.whole[name])
        return self._contents[id(split)][1]

    @cached_property
    def reading(self) -> str:
        """What the dataset's files are taken for. Raises UserError where that is unclear."""
        return reading_of(self.source)

    def _limited(self, name: Split, split: Dataset) -> Dataset:
        if self.limit is None or len(split) <= self.limit:
            return split
        classes: dict[str, str] = {}
        if isinstance(self.source, Episodic):
            episodes = self.source.episodes(name)
            classes = {query: label for label, episode in episodes.items() for query in episode["query"]}
        chosen = frozenset(drawn(split.ids, self.limit, classes))
        return self._parts.setdefault((name, chosen), Part(self.whole[name], chosen))
