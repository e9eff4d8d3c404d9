"""A base or refiner that has a file for each sample, for a part of a large split: without the other samples' files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.contracts import OfSamples, Split
from bench.plugins.variants import Variant
from bench.runtime.reading import changed, digests_of


class Narrowing:
    """The parts of a variant.

    Args:
        variant: the whole.
        made: made of it, where somebody has.
    """

    def __init__(self, variant: Variant, made: Any = None) -> None:
        self._variant = variant
        self._parts: dict[tuple[Split, int, int], Variant] = {}
        if made is not None:
            self._made = made

    @cached_property
    def _made(self) -> Any:
        return self._variant.make(device="cpu", seed=0)

    def part(self, ids: Sequence[str], split: Split = "test", start: int = 0) -> Variant:
        """Of the samples of a split from number ``start`` on, which have these ids.

        All of it, where it has no file for each.
        """
        key = (split, start, len(ids))
        if not isinstance(self._variant.entry.factory, OfSamples):
            return self._variant
        if key not in self._parts:  # of all cells that share it one
            narrowed, files = self._made.of_samples(ids)
            known = {
                path: {file: digests[file] for file in files if file in digests}
                for path, digests in self._variant.files.items()
            }
            whole = {one.name: getattr(self._variant, one.name) for one in fields(Variant)}
            self._parts[key] = PartVariant(**whole, plugin=narrowed, digests=known, whole=self._variant.identity)
        return self._parts[key]

    def __getstate__(self) -> dict[str, Any]:
        return {"_variant": self._variant, "_parts": {}}


@dataclass(frozen=True)
class PartVariant(Variant):
    """A variant that knows some of its files alone.

    Attributes:
        plugin: the plug-in, which is made already.
        digests: as `files`, of those.
        whole: the identity of the whole, which is its own.
    """

    plugin: Any = field(default=None, hash=False)
    digests: Mapping[Path, Mapping[Path, bytes]] = field(default_factory=dict, hash=False)
    whole: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def identity(self) -> dict[str, Any]:
        return self.whole

    @property
    def files(self) -> Mapping[Path, Mapping[Path, bytes]]:
        return self.digests

    def check_unchanged(self) -> None:
        """Raises UserError where one of its files is not what it was."""
        for before in self.digests.values():
            try:
                after = digests_of(list(before))
            except OSError as error:
                raise changed(error.filename) from None
            if gone := next((file for file in before if after[file] != before[file]), None):
                raise changed(gone)

    def make(self, **filled_in: Any) -> Any:
        """The plug-in."""
        return self.plugin
