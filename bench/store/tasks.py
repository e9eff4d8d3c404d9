"""What leases, and the folders of work under way, are called: by what the work is."""

from __future__ import annotations

from typing import NamedTuple

from bench.store.manifest import Manifest

Cut = tuple[int, int]
"""Numbers of the first image of a part and of the one after its last."""


class Task(NamedTuple):
    """A piece of work that a lease is on.

    Attributes:
        kind: ``cell``, ``kept`` (its pictures), ``base`` (its training), ``fit`` or ``maps``.
        key: the cell's, the base's or the fit's; of maps with the part of their split's fingerprint.
        part: of a cell or of maps; None where it is all.
    """

    kind: str
    key: str
    part: Cut | None = None

    @classmethod
    def of(cls, name: str) -> Task:
        """That of the name."""
        kind, _, key = name.partition("-")
        words = key.split("-")
        if len(words) == {"part": 3, "maps": 4}.get(kind) and all(word.isdigit() for word in words[-2:]):
            cut = int(words[-2]), int(words[-1])
            return cls("cell" if kind == "part" else kind, "-".join(words[:-2]), cut)
        return cls(kind, key)

    @property
    def name(self) -> str:
        """What the lease is called."""
        if self.part is None:
            return f"{self.kind}-{self.key}"
        kind = "part" if self.kind == "cell" else self.kind
        return f"{kind}-{self.key}-{self.part[0]}-{self.part[1]}"

    @property
    def whole(self) -> str:
        """What the lease would be called that is on all of it."""
        return self._replace(part=None).name


def cell_task(cell: Manifest, part: Cut | None = None) -> str:
    """What a lease on a cell, or on a part of it, is called."""
    return Task("cell", cell.key, part).name


def kept_task(cell: Manifest) -> str:
    """What a lease on the pictures of a cell is called."""
    return Task("kept", cell.key).name


def base_task(base_key: str) -> str:
    """What a lease on the training of a base is called."""
    return Task("base", base_key).name


def fit_task(fit_key: str) -> str:
    """What a lease on the fit of a refiner is called."""
    return Task("fit", fit_key).name


def maps_task(base_key: str, fingerprint: str, part: Cut | None = None) -> str:
    """What a lease on a base's maps of a split, or of a part of it, is called."""
    return Task("maps", f"{base_key}-{fingerprint[:16]}", part).name
