"""The tables as tidy CSV: one line for each dataset, base and refiner, numbers as stored, nothing rounded."""

from __future__ import annotations

import csv
import io

from bench.redaction import cell
from bench.reports.columns import COST, QUALITY, SPREAD
from bench.reports.pairs import GAINS
from bench.reports.rows import Row
from bench.reports.tables import Group, Report

TEXT = ("dataset", "rules", "protocol", "base", "refiner", "status", "problem", "contaminated", "seeds", "notes")
"""The columns that hold no number and no truth value."""


def render(report: Report) -> str:
    """One header line, then one line a row.

    Metrics and gains are fractions (not percent points), then seconds, MB and joules. A field is empty where the
    value is undefined or was not measured. ``*_low`` and ``*_high`` are the ends of the gain's 95 % interval,
    ``*_lost`` is the share of images that lost more than 0.01; ``*_wins``, ``*_ties`` and ``*_losses`` count the images
    that gained more than that, neither, and lost more. ``headroom_ORACLE`` is the mIoU gain divided by that oracle's.
    Plugged-in metrics are as they return them. Text that a spreadsheet would take for a formula begins with ``'``.
    """
    text = io.StringIO()
    found = lines(report)
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: cell(value) if isinstance(value, str) else value for key, value in line.items()} for line in found
    )
    return text.getvalue()


def lines(report: Report) -> list[dict[str, object]]:
    """The rows by column, all of the same columns; None for an empty field."""
    return [_line(group, row, report) for group in report.groups for block in group.blocks for row in block.rows]


def _line(group: Group, row: Row, report: Report) -> dict[str, object]:
    line: dict[str, object] = {
        "dataset": group.place.dataset,
        "limit": group.place.limit,
        "layout": group.place.layout,
        "rules": group.place.rules,
        "protocol": group.place.protocol,
        "base": row.base,
        "refiner": row.refiner,
        "status": row.status,
        "problem": row.problem if row.status == "failed" else None,
        "baseline": row.refiner == report.baseline,
        "uses_ground_truth": row.oracle,
        "contaminated": " ".join(row.contaminated),
        "seeds": " ".join(map(str, row.seeds)),
        "images": row.images,
    }
    for column in (*QUALITY, *report.plugged_in, SPREAD, *COST, *report.headroom):
        line[column.key] = row.values.get(column.key)
        if column in GAINS:
            gain = row.gains.get(column.key)
            line |= {
                f"{column.key}_gain": gain and gain.mean,
                f"{column.key}_gain_low": gain and gain.low,
                f"{column.key}_gain_high": gain and gain.high,
                f"{column.key}_gain_images": gain and gain.images,
                f"{column.key}_lost": gain and gain.lost,
                f"{column.key}_wins": gain and gain.wins,
                f"{column.key}_ties": gain and gain.ties,
                f"{column.key}_losses": gain and gain.losses,
            }
    return line | {"notes": "; ".join((*group.remarks, *group.origin, *row.notes))}
