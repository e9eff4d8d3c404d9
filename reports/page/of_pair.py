"""The page of two stores side by side: A's refined maps, and B's of the same images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.reports import changes
from bench.reports.captions import listed, origin
from bench.reports.compared_rows import ComparedRow, compared_rows
from bench.reports.comparison import Comparison
from bench.reports.differing import differing, sheet_of
from bench.reports.formats import layout
from bench.reports.page import pair_table, texts, values
from bench.reports.page.content import Content, Entry, Files, Plot, Words, id_of
from bench.reports.page.origin import command, manifests
from bench.reports.page.pictures import of_cells
from bench.reports.reading import Found
from bench.reports.rows import Row
from bench.reports.selection import Place, Selected
from bench.reports.sheets import Sheet
from bench.store import Store

_WORDS = Words(
    before="A",
    after="B",
    change="B - A",
    plots={
        "seconds": Plot(title="Change for time", axis="seconds an image, B / A", scale="ratio"),
        "quality": Plot(title="Change over the quality in A", axis="mIoU in A", scale="linear"),
    },
)

_NAMED = 6
"""Of the entries that differ, so many are named above the table, each by the end of its path."""


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: what it is called.
        found: what was read of it.
        store: has the pictures that a run kept.
    """

    name: str
    found: Found
    store: Store


def of_pair(comparison: Comparison, before: Side, after: Side, sheets: Sequence[Sheet]) -> Content:
    """What the page shows of two stores.

    Args:
        comparison: of what they hold.
        before, after: A and B.
        sheets: its tables, cell by cell.
    """
    rows = compared_rows(comparison, before.found, after.found)
    differ = sheet_of(comparison.cells)
    columns = pair_table.Columns.of(rows)
    sides = {"A": before, "B": after}
    origins = [(end, "; ".join([side.name, *origin(side.found.cells)])) for end, side in sides.items()]
    return Content(
        title=_title(before.name, after.name),
        words=_WORDS,
        lead=[("Result", changes.sentence(comparison)), *origins, ("Differs", _listed(differ))],
        differing=differ if differ.rows else None,
        parts=pair_table.parts(columns, comparison.tolerance),
        headings=pair_table.headings(columns),
        entries=[*_entries(rows, columns, (before.store, after.store))],
        sheets={"What changed, cell by cell": sheets},
        blocks=_blocks(rows, columns),
        damaged=[f"{end}: {error}" for end, side in sides.items() for error in side.found.damaged],
    )


def _title(before: str, after: str) -> str:
    """The last parts of their addresses, where these differ."""
    last = [name.rstrip("/").rpartition("/")[2] for name in (before, after)]
    one, other = last if last[0] != last[1] else (before, after)
    return f"A: {one}, B: {other}"


def _listed(differ: Sheet) -> str:
    names = [*dict.fromkeys(str(row[0]).rpartition(".")[2] for row in differ.rows)]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return listed([*names[:_NAMED], *more]) or "nothing in code, parameters and environment"


def _entries(rows: Sequence[ComparedRow], columns: pair_table.Columns, stores: tuple[Store, Store]) -> Iterator[Entry]:
    for row in rows:
        refiner = f"{row.key.refiner} †" if row.oracle else row.key.refiner
        names = {"id": _id(row), "dataset": row.title, "base": row.key.base}
        yield Entry(
            **names,
            refiner=row.key.refiner,
            name=layout.without_folders(refiner) if len(refiner) > layout.LONG_NAME else refiner,
            oracle=row.oracle,
            cells=pair_table.cells(row, columns),
            problem="",
            status="done",
            facts={**names, "refiner": refiner, **pair_table.facts(row)},
            behind=partial(_behind, row, stores),
        )


def _behind(row: ComparedRow, stores: tuple[Store, Store], files: Files) -> Mapping[str, Any]:
    order = values.images(row.sides)
    seeds = row.sides[0].seeds
    shared = {column.key for column in row.quality}
    pairs: list[tuple[Selected | None, Selected | None]] = [(cell.cell, cell.other) for cell in row.cells]
    if not pairs:
        pairs = [(each.cell, None) if each.where == "A" else (None, each.cell) for each in row.unpaired]
    sides = [[cell for pair in pairs if (cell := pair[end]) is not None] for end in (0, 1)]

    def numbers(side: Row | None) -> str | None:
        return None if side is None else files.shared("values", values.values(side, seeds, order))

    return {
        "measures": [
            values.described(facts)
            for facts in values.measures(row.sides[0])
            if facts.key in shared or facts.key not in row.sides[0].plugged_in
        ],
        "images": files.shared("images", order),
        "before": numbers(row.before),
        "after": numbers(row.after),
        "said": values.over(seeds) + "; ".join(["", *_said(row)]),
        "notes": _notes(row),
        "seeds": seeds,
        "pictures": of_cells(pairs, stores, files),
        "differing": differing(row.cells),
        "command": _command(sides),
        "manifests": [text for cells in sides for text in manifests([cell.manifest for cell in cells])],
    }


def _said(row: ComparedRow) -> Iterator[str]:
    """What its verdict goes by, and what one store has alone."""
    found: dict[str, list[str]] = defaultdict(list)
    for cell in row.cells:
        where = f" (seed {cell.cell.manifest.seed})" if len(row.cells) > 1 else ""
        for change in cell.changes:
            found[change.verdict].append(f"{change.metric.title}{where}")
    for verdict, said in changes.SAID.items():
        if verdict in found:
            yield f"{said}: {listed(found[verdict])}"
    if not found and row.cells:
        yield changes.SAID["equal"] if row.state == "equal" else "other pixels, the same metrics"
    for each in row.unpaired:
        yield f"seed {each.cell.manifest.seed} in {each.where} alone: {each.why}"


def _notes(row: ComparedRow) -> list[str]:
    """Those of both stores once, the others with the store that has them."""
    both = {end: side.notes for end, side in (("A", row.before), ("B", row.after)) if side is not None}
    found = []
    for note in dict.fromkeys(note for notes in both.values() for note in notes):
        has = [end for end, notes in both.items() if note in notes]
        found.append(note if len(has) == len(both) else f"{has[0]}: {note}")
    return found


def _command(sides: Sequence[Sequence[Selected]]) -> str:
    found = [command([cell.manifest for cell in cells]) for cells in sides]
    if len({text for text in found if text}) == 1:
        return next(filter(None, found))
    return "\n".join(f"# {end}\n{text}" for end, text in zip("AB", found, strict=True) if text)


def _blocks(rows: Sequence[ComparedRow], columns: pair_table.Columns) -> list[dict[str, object]]:
    tables: dict[tuple[Place, str], list[ComparedRow]] = defaultdict(list)
    for row in rows:
        tables[row.key.place, row.key.base].append(row)
    found = []
    for (_, base), members in tables.items():
        title = f"What changed on {members[0].title}, base {base}, B minus A"
        whole, printed = (pair_table.table(members, each, title) for each in (columns, columns.printed))
        found.append(texts.of_part(list(map(_id, members)), whole, printed))
    return found


def _id(row: ComparedRow) -> str:
    return id_of(*row.key.place, row.key.base, row.key.refiner)
