"""For which images a refiner helps: gains by what the images are like, and over the quality of the base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.contracts import UserError
from bench.reports.columns import QUALITY, per_image
from bench.reports.image_table import GROUP
from bench.reports.pairs import differences, numbered
from bench.reports.scores import shared_images
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.reports.statistics import mean_gain
from bench.reports.tables import Block, Group, Report

FEWEST = 30
"""Fewer images in a stratum are too few to tell."""

PARTS = 3
"""Strata that a column of numbers is cut into, of about as many images each."""

MOST = 12
"""More distinct texts in a column make no strata: each would hold next to nothing."""

_BASE_IOU = "base IoU"
_DECIDES = QUALITY[0]

STRATA = (
    Field(key="dataset", title="dataset"),
    Field(key="base", title="base"),
    Field(key="refiner", title="refiner"),
    Field(key="by", title="by"),
    Field(key="stratum", title="images"),
    Field(key="n", title="n", digits=0),
    Field(key="base_iou", title="base mIoU", digits=1, scale=100),
    Field(key="gain", title="gain", digits=1, scale=100, signed=True),
    Field(key="low", title="low", digits=1, scale=100, signed=True),
    Field(key="high", title="high", digits=1, scale=100, signed=True),
    Field(key="lost", title="lost", digits=0, scale=100, unit=" %"),
    Field(key="says", title="says"),
)
QUALITY_CURVE = (
    Field(key="refiner", title="refiner"),
    Field(key="base_iou", title="base mIoU", digits=1, scale=100),
    Field(key="dataset", title="dataset"),
    Field(key="base", title="base"),
    Field(key="gain", title="gain", digits=1, scale=100, signed=True),
    Field(key="low", title="low", digits=1, scale=100, signed=True),
    Field(key="high", title="high", digits=1, scale=100, signed=True),
    Field(key="lost", title="lost", digits=0, scale=100, unit=" %"),
)


@dataclass(frozen=True)
class Stratum:
    """Some of the images.

    Attributes:
        by: the column that they are cut by.
        name: the values in it.
        images: their ids.
    """

    by: str
    name: str
    images: pd.Index[str]


def sheets(report: Report, images: pd.DataFrame | None = None) -> list[Sheet]:
    """Gains by stratum, and gains over the base's quality.

    Args:
        images: as `bench.reports.image_table.read_images` reads it; None splits by the base's own IoU alone.

    Raises:
        UserError: no image of the report is in the table.
    """
    rows = [row for group, block in report.blocks for row in _of_block(group, block, report.baseline, images)]
    if images is not None and not any(row["by"] != _BASE_IOU for row in rows):
        raise UserError("no image of these results is in the table", "--images", "its ids must be those of the dataset")
    return [_strata(rows), curve(report)]


def cut(column: pd.Series, by: str) -> list[Stratum]:
    """The strata of one column, in the order of their values; images without a value are in none.

    Numbers are cut into `PARTS` by quantiles, whole numbers of few kinds and texts by value; none where there is but
    one value, or more than `MOST` texts.
    """
    known = column[column.notna() & (column.astype(str) != "")]
    kinds = known.unique()
    if len(kinds) < 2:
        return []
    if not pd.api.types.is_numeric_dtype(known):
        texts = sorted(kinds) if len(kinds) <= MOST else []
        return [Stratum(by, str(kind), known.index[known == kind]) for kind in texts]
    edges = np.quantile(known, np.arange(1, PARTS) / PARTS)
    # A value that many share lies on several quantiles: it is cut off once.
    parts = np.searchsorted(np.unique(edges), known, side="left")
    found = []
    for part in np.unique(parts):
        inside = known[parts == part]
        low, high = inside.min(), inside.max()
        found.append(Stratum(by, f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}", inside.index))
    return found if len(found) > 1 else []


def _of_block(group: Group, block: Block, baseline: str, images: pd.DataFrame | None) -> Iterator[dict[str, Value]]:
    own = next((row for row in block.rows if row.refiner == baseline and row.status == "done"), None)
    if own is None:
        return
    before = pd.Series(per_image(own.records, _DECIDES.key), shared_images(own.records.values()))
    strata = cut(before, _BASE_IOU)
    if images is not None:
        here = images.reindex(before.index[before.index.isin(images.index)])
        strata += [part for name in here.columns if name != GROUP for part in cut(here[name], str(name))]
    for row in block.rows:
        if row.refiner == baseline or not row.gains:
            continue
        moved = differences(row, own)
        for stratum in strata:
            inside = moved.loc[moved.index.isin(stratum.images)]
            if not inside.empty:
                named = {"dataset": group.title, "base": block.base, "refiner": row.marked}
                yield {**named, **_stratum(stratum, inside, before, block.groups)}


def _stratum(
    stratum: Stratum, moved: pd.DataFrame, before: pd.Series[float], groups: Mapping[str, str] | None
) -> dict[str, Value]:
    gain = mean_gain(moved.to_numpy(), numbered(moved.index, groups))
    low, high = (0.0, 0.0) if gain.low is None or gain.high is None else (gain.low, gain.high)
    if len(moved) < FEWEST:
        says = "too few images to tell"
    else:
        says = "gains" if low > 0 else "loses" if high < 0 else "no difference seen"
    return {
        "by": stratum.by,
        "stratum": stratum.name,
        "n": len(moved),
        "base_iou": float(before[moved.index].mean()),
        "gain": gain.mean,
        "low": gain.low,
        "high": gain.high,
        "lost": gain.lost,
        "says": says,
    }


def _strata(rows: list[dict[str, Value]]) -> Sheet:
    notes = (
        f"images: the values of the column that the images are split by; numbers into {PARTS} parts of about as many",
        "gain: points of mIoU over the base's own map, with its 95 % bootstrap interval (low, high)",
        "lost: share of the images that lost more than a point",
        f"says: too few images to tell below {FEWEST}; no difference seen where the interval holds zero. Many strata "
        "are looked at: one in twenty excludes zero by chance",
        "by base IoU: an image on which the base did badly by chance does better with anything else, and the other way "
        "round; part of a gain on the worst images is that",
    )
    return sheet("strata", "Gains by kind of image", STRATA, rows, notes=notes, repeated=4)


def curve(report: Report) -> Sheet:
    """Each refiner's gain over the quality of its bases."""
    rows: list[dict[str, Value]] = []
    for group, block in report.blocks:
        base = next((row.values.get(_DECIDES.key) for row in block.rows if row.refiner == report.baseline), None)
        for row in block.rows:
            gain = row.gains.get(_DECIDES.key)
            if gain is not None:
                rows.append(
                    {
                        "dataset": group.title,
                        "base": block.base,
                        "base_iou": base,
                        "refiner": row.marked,
                        "gain": gain.mean,
                        "low": gain.low,
                        "high": gain.high,
                        "lost": gain.lost,
                    }
                )
    # Refiner by refiner, as the tables have them, from the weakest base to the strongest.
    names = dict.fromkeys(row.marked for _, block in report.blocks for row in block.rows)
    order = {name: place for place, name in enumerate(names)}
    rows.sort(key=lambda row: (order[str(row["refiner"])], float(row["base_iou"] or 0)))
    return sheet("quality", "Gain over the base's quality", QUALITY_CURVE, rows, repeated=1)
