"""What a page is made of, whatever it compares: refined maps with their base, or one store with another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bench.reports.sheets import Sheet

Sheets = Mapping[str, Sequence[Sheet] | str]
"""Heading -> what stands under it, or why there is nothing."""


class Files(Protocol):
    """Where what is behind a row goes."""

    def picture(self, name: str, make: Callable[[], bytes]) -> None:
        """A file's name and how its content is made; a name that was there already is not made again."""
        ...

    def shared(self, kind: str, data: Any) -> str:
        """Data of several rows; the name to load them by, made of what they are."""
        ...


@dataclass(frozen=True)
class Shown:
    """One cell of the table.

    Attributes:
        text: as shown; markup where it is bold.
        value: what it is sorted by; None comes last.
    """

    text: str
    value: float | None


@dataclass(frozen=True)
class Heading:
    """One column of numbers.

    Attributes:
        key: what links call it.
        section: the key of a `Part`.
        lower: a first click brings the lowest to the top.
    """

    key: str
    title: str
    section: str
    lower: bool


@dataclass(frozen=True)
class Part:
    """The columns that are seen together.

    Attributes:
        legend: sentences that explain them.
    """

    key: str
    title: str
    legend: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the table.

    Attributes:
        id: what links call it.
        dataset, base, refiner: names; ``name`` is the refiner's with its marks.
        oracle: it uses the ground truth.
        cells: one a heading; none where there are no numbers: then ``problem`` says why, and ``status`` in a word.
        facts: what the filters and the plots know of it.
        behind: makes what its name opens, see `images.js`; None where there is nothing.
    """

    id: str
    dataset: str
    base: str
    refiner: str
    name: str
    oracle: bool
    cells: Sequence[Shown]
    problem: str
    status: str
    facts: Mapping[str, Any]
    behind: Callable[[Files], Mapping[str, Any]] | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What is said under the table, and seen when it is opened."""

    title: str
    text: str
    terms: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Each row's change in mIoU over something.

    Attributes:
        axis: what that is, and its unit.
        scale: ``log`` goes over decades, ``ratio`` is logarithmic, too.
    """

    title: str
    axis: str
    scale: Literal["linear", "log", "ratio"]


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is compared, as data.

    Attributes:
        before, after: the two.
        change: after minus before.
        plots: by the end of their places' ids, which are the keys of ``x`` in `Entry.facts`, too.
    """

    before: str
    after: str
    change: str
    plots: Mapping[str, Plot]


@dataclass(frozen=True, kw_only=True)
class Content:
    """A page.

    Attributes:
        title: its heading.
        words: of what is compared.
        lead: stands above the table: terms with what is said of them.
        differing: stands there, too, folded.
        parts, headings, entries: the table.
        folds: under it.
        sheets: what is said beside it.
        blocks: the texts of the table to copy, see `bench.reports.page.texts`.
        damaged: a line for each file that could not be read.
    """

    title: str
    words: Words
    lead: Sequence[tuple[str, str]] = ()
    differing: Sheet | None = None
    parts: Sequence[Part]
    headings: Sequence[Heading]
    entries: Sequence[Entry]
    folds: Sequence[Fold] = ()
    sheets: Sheets
    blocks: Sequence[Mapping[str, object]]
    damaged: Sequence[str]


def digest(content: bytes) -> str:
    """A name made of what it stands for."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def id_of(*names: object) -> str:
    """A row's: of names alone, so that a link holds when the page is made again."""
    return digest("\0".join(map(str, names)).encode())
