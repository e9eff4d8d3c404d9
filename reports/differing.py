"""What differs in how two stores were filled: entries of their manifests, such as versions, parameters, the commit."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.redaction import one_line
from bench.reports.captions import listed
from bench.reports.comparison import Compared
from bench.reports.sheets import Field, Sheet, sheet

_PARTS = ("environment", "identity", "names", "metrics", "tuned", "contaminated", "complete", "remarks")
"""Of a manifest; the others are of the store, of the results or of the time."""

_NAMED = 3
"""Of the refiners that an entry differs for, so many are named."""


class Entry(NamedTuple):
    """An entry of the manifests of one cell that differs; "" where one has none."""

    what: str
    before: str
    after: str


def differing(cells: Sequence[Compared]) -> list[Entry]:
    """What differs in any of these cells, each once, in the order of the manifest."""
    return [*dict.fromkeys(entry for cell in cells for entry in _differing(cell))]


def sheet_of(cells: Sequence[Compared]) -> Sheet:
    """What differs, and for which refiners."""
    found: dict[Entry, list[Compared]] = defaultdict(list)
    for cell in cells:
        for entry in _differing(cell):
            found[entry].append(cell)
    fields = (
        Field(key="entry", title="Entry of the manifest"),
        Field(key="a", title="A"),
        Field(key="b", title="B"),
        Field(key="refiners", title="Refiners"),
    )
    rows = [
        {"entry": one.what, "a": one.before, "b": one.after, "refiners": _of(of, cells)} for one, of in found.items()
    ]
    return sheet("differing", "What differs in how they were run", fields, rows)


def _differing(cell: Compared) -> Iterator[Entry]:
    one, other = (dict(_flat(side.manifest.model_dump(include=set(_PARTS)))) for side in (cell.cell, cell.other))
    for what in dict.fromkeys((*one, *other)):
        before, after = one.get(what, ""), other.get(what, "")
        if before != after:
            yield Entry(what, before, after)


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each entry by its path; a list is one entry."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, (*path, str(key)))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield one_line(".".join(path)), one_line(text)


def _of(found: Sequence[Compared], cells: Sequence[Compared]) -> str:
    if len(found) == len(cells):
        return "all"
    names = [*dict.fromkeys(cell.cell.refiner for cell in found)]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return listed([*names[:_NAMED], *more])
