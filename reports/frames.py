"""The tables and the records under them as data frames."""

from __future__ import annotations

import pandas as pd

from bench.reports.formats import csv
from bench.reports.reading import Found
from bench.reports.tables import Report


def table(report: Report) -> pd.DataFrame:
    """One row a dataset, base and refiner; columns as `bench.reports.formats.csv`, NaN where a field is empty there."""
    frame = pd.DataFrame(csv.lines(report))
    empty = [name for name in frame.columns[frame.isna().all()] if name not in csv.TEXT]
    return frame.astype(dict.fromkeys(empty, "float64"))


def records(found: Found) -> pd.DataFrame:
    """One row an image of each finished cell: what the cell is called, then its record."""
    frames = []
    for cell in found.cells:
        manifest = cell.manifest
        if manifest.status != "done":
            continue
        named = {
            "dataset": cell.dataset,
            "base": cell.base,
            "refiner": cell.refiner,
            "seed": manifest.seed,
            "protocol": manifest.protocol,
            "limit": float("nan") if manifest.limit is None else manifest.limit,
            "key": manifest.key,
        }
        frame = found.scores[manifest.key].frame()
        frames.append(pd.concat([pd.DataFrame(named, index=frame.index), frame], axis=1))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
