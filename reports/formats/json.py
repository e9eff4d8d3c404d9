"""The whole report for programs: every row's values, gains and notes, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.reports.columns import COST, QUALITY, SPREAD, Column
from bench.reports.pairs import GAINS
from bench.reports.rows import Row
from bench.reports.sheets import Sheet
from bench.reports.tables import Block, Group, Report
from bench.runtime.environment import DISTRIBUTION, version_of


def render(report: Report, sheets: Sequence[Sheet] = ()) -> str:
    """``{"refinebench": version, "baseline", "columns", "groups", "damaged", "sheets"}``.

    Metrics and gains are fractions, nothing is rounded, and what is undefined or was not measured is null. The file's
    fields are told in docs/results-format.md.
    """
    columns = (*QUALITY, *report.plugged_in, SPREAD, *COST, *report.headroom)
    return text(
        {
            "baseline": report.baseline,
            "columns": [_column(column) for column in columns],
            "groups": [_group(group, columns, report.baseline) for group in report.groups],
            "damaged": report.damaged,
            "sheets": [_sheet(sheet) for sheet in sheets],
        }
    )


def of_sheets(sheets: Sequence[Sheet]) -> str:
    """``{"refinebench": version, "sheets": [...]}``, the values as they were computed."""
    return text({"sheets": [_sheet(sheet) for sheet in sheets]})


def text(content: Mapping[str, Any]) -> str:
    """An object as strict JSON, after the version of this program: no NaN, no infinity, two blanks a level."""
    version = {DISTRIBUTION: version_of(DISTRIBUTION) or None}
    return json.dumps(_finite({**version, **content}), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _column(column: Column) -> dict[str, Any]:
    return {
        "key": column.key,
        "title": column.title,
        "meaning": column.meaning,
        "better": column.better,
        "scale": column.scale,
        "digits": column.digits,
        "unit": column.unit,
    }


def _group(group: Group, columns: Sequence[Column], baseline: str) -> dict[str, Any]:
    return {
        "title": group.title,
        "dataset": group.place.dataset,
        "limit": group.place.limit,
        "layout": group.place.layout,
        "rules": group.place.rules,
        "protocol": group.place.protocol,
        "remarks": group.remarks,
        "origin": group.origin,
        "rows": [_row(row, block, columns, baseline) for block in group.blocks for row in block.rows],
    }


def _row(row: Row, block: Block, columns: Sequence[Column], baseline: str) -> dict[str, Any]:
    gains = {column.key: row.gains.get(column.key) for column in GAINS}
    return {
        "base": row.base,
        "refiner": row.refiner,
        "status": row.status,
        "problem": row.problem if row.status != "done" else None,
        "baseline": row.refiner == baseline,
        "uses_ground_truth": row.oracle,
        "contaminated": row.contaminated,
        "seeds": row.seeds,
        "images": row.images,
        "values": {column.key: row.values.get(column.key) for column in columns},
        "gains": {
            key: gain and {**asdict(gain), "ties": gain.ties, "visible": gain.visible} for key, gain in gains.items()
        },
        "best": [column.key for column in columns if row.refiner == block.best(column)],
        "notes": row.notes,
    }


def _sheet(sheet: Sheet) -> dict[str, Any]:
    keys = [field.key for field in sheet.fields]
    return {
        "key": sheet.key,
        "title": sheet.title,
        "remarks": sheet.remarks,
        "columns": [
            {"key": field.key, "title": field.title, "meaning": field.meaning, "unit": field.unit}
            for field in sheet.fields
        ],
        "rows": [dict(zip(keys, row, strict=True)) for row in sheet.rows],
        "notes": sheet.notes,
    }


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
