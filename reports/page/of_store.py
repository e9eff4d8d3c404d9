"""The page of one store: what refiners make of the maps of their bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bench.metrics.columns import CostFacts
from bench.reports.figures.cost import memory_of
from bench.reports.formats.flat import KEYS
from bench.reports.page import origin, tables, texts, values
from bench.reports.page.content import Content, Entry, Files, Fold, Part, Plot, Sheets, Words
from bench.reports.page.lines import Line, lines
from bench.reports.page.pictures import of_row
from bench.reports.reading import Found
from bench.reports.tables import Group, Report
from bench.reports.verdict import verdict
from bench.store import Store


def of_store(title: str, report: Report, found: Found, sheets: Sheets, store: Store) -> Content:
    """What the page shows of a store.

    Args:
        title: its heading.
        report: the tables.
        found: what they were assembled of.
        sheets: what is said beside them.
        store: has the pictures that a run kept.
    """
    rows = lines(report, found)
    orders = values.images_of_blocks(block for _, block in report.blocks)
    called = tables.names(rows)
    memory = memory_of(line.row for line in rows if line.row.status == "done")
    return Content(
        title=title,
        words=_words(memory),
        parts=[Part(KEYS[section.title], section.title, section.legend) for section in report.sections()],
        headings=tables.headings(report),
        entries=[_entry(line, called[line.id], report, store, memory, orders[id(line.block)]) for line in rows],
        folds=[_fold(group, report.baseline) for group in report.groups],
        sheets=sheets,
        blocks=texts.of_blocks(report, rows),
        damaged=report.damaged,
    )


def _words(memory: CostFacts) -> Words:
    return Words(
        before="base",
        after="refined",
        change="gain",
        plots={
            "seconds": Plot(title="Gain for time", axis="seconds an image", scale="log"),
            "memory": Plot(title="Gain for memory", axis=memory.title, scale="linear"),
            "quality": Plot(title="Gain over the base's quality", axis="mIoU of the base", scale="linear"),
        },
    )


def _entry(line: Line, name: str, report: Report, store: Store, memory: CostFacts, order: Sequence[str]) -> Entry:
    done = line.row.status == "done"
    return Entry(
        id=line.id,
        dataset=line.group.title,
        base=line.block.base,
        refiner=line.row.refiner,
        name=name,
        oracle=line.row.oracle,
        cells=tables.shown(line, report) if done else (),
        problem=line.row.problem,
        status=line.row.status,
        facts=tables.facts(line, memory),
        behind=partial(_behind, line, store, order) if done else None,
    )


def _behind(line: Line, store: Store, order: Sequence[str], files: Files) -> Mapping[str, Any]:
    paired = values.paired_seeds(line)
    seeds = paired or line.row.seeds
    before = line.baseline if paired else None
    return {
        "measures": [values.described(facts) for facts in values.measures(line.row)],
        "images": files.shared("images", order),
        "before": before and files.shared("values", values.values(before, seeds, order)),
        "after": files.shared("values", values.values(line.row, seeds, order)),
        "said": values.over(seeds) + ("" if paired else "; there is no base to compare them with"),
        "notes": line.row.notes,
        "seeds": seeds,
        "pictures": of_row(line, store, files),
        "command": origin.command(line.finished),
        "manifests": origin.manifests(line.finished),
    }


def _fold(group: Group, baseline: str) -> Fold:
    return Fold(
        title=f"{group.title}: which refiner to take, and what was run",
        text=group.caption,
        terms=[
            (block.base, verdict(block, baseline, {row.refiner: row.refiner for row in block.rows}))
            for block in group.blocks
        ],
        notes=group.notes,
    )
