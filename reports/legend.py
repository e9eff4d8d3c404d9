"""What stands under the tables: each column's meaning, and how to read the rest."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.columns import QUALITY, SPREAD, Column
from bench.reports.resampling import RESAMPLES
from bench.reports.statistics import FEW, FEW_MARK, RESOLUTION

_INTERVAL = (
    f"with the 95 % percentile bootstrap interval ({RESAMPLES:,} resamples of the images; of several seeds, too)."
)
_COUNTS = (
    f"{FEW_MARK}: of fewer than {FEW} images, where such an interval covers less than 95 %.",
    "W/T/L: images that won more than 1 point of IoU, that neither won nor lost so much, and that lost more.",
)


def of_quality(columns: Sequence[Column], baseline: str, *, contaminated: bool) -> tuple[str, ...]:
    """The legend of a table of quality.

    Args:
        columns: its columns.
        baseline: the row that gains are over.
        contaminated: whether some row is marked so.
    """
    bold = "Bold: best of its base, where the paired differences to all others have intervals that exclude zero; "
    plain = (f"{bold}oracles (†) see the ground truth and do not compete.",)
    marked = (
        "‡: public weights of the base or the refiner were trained on images of the set that is tested on.",
        f"{bold}oracles (†), which see the ground truth, and rows with ‡ do not compete.",
    )
    # What scale a plug-in of another package shows is its own affair: its meaning says by what it is multiplied.
    points = [column.title for column in columns if column in (*QUALITY, SPREAD) and column.scale == 100]
    lost = [column.title.split()[0] for column in columns if column.gain == "lost"]
    return (
        *_meanings(columns),
        f"{', '.join(points)} and gains are in percent points.",
        f"gain: mean over images of the paired difference to the base's own map (row {baseline}), {_INTERVAL}",
        *_COUNTS,
        *(f"lost ({name}): share of the images that lost more than 1 point of {name}." for name in lost),
        *(marked if contaminated else plain),
    )


def of_changes(columns: Sequence[Column]) -> tuple[str, ...]:
    """The legend of a table of what changed between two stores."""
    return (
        *_meanings(columns),
        "A, B: means over the images, and seeds, that both stores have a value of.",
        f"B - A: mean over images of the paired difference, {_INTERVAL}",
        *_COUNTS,
        "changed: images with another value in any metric, of all seeds.",
    )


def of_headroom(columns: Sequence[Column]) -> tuple[str, ...]:
    """The legend of a table of what is recovered of the oracles' gains."""
    return (
        *_meanings(columns),
        f"n/a: that oracle gains less than {RESOLUTION * 100:g} points, or lacks some of the row's images or seeds.",
        "A negative share is a loss. An oracle takes the best of its own choices: the merged optima of the patches are "
        "not always above the best threshold of the whole image, so each oracle has its column.",
    )


def of_cost(columns: Sequence[Column]) -> tuple[str, ...]:
    """The legend of a table of cost."""
    return _meanings(columns)


def _meanings(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(f"{column.title}: {column.meaning}." for column in columns)
