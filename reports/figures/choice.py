"""Which images stand for a cell: its best, its middle and its worst, never the best alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

FEWEST = 3
"""Kept images, so that there are three rows."""


@dataclass(frozen=True)
class Choice:
    """An image.

    Attributes:
        id: of it.
        name: ``best``, ``median`` or ``worst``; of the kept ones alone, where others are better, nearer or worse.
        gain: in IoU, as a fraction.
        rank: 1 is the highest gain of all images of the cell.
        images: how many those are.
    """

    id: str
    name: str
    gain: float
    rank: int
    images: int


def choose(gains: pd.Series[float], kept: Collection[str]) -> list[Choice]:
    """Best, median and worst by gain, of the images whose pictures were kept; [] of fewer than `FEWEST`.

    Images of one gain are ranked by their ids.

    Args:
        gains: of all images of the cell, by id.
        kept: ids; those that have no gain do not count.
    """
    order = pd.DataFrame({"gain": gains.to_numpy(), "id": gains.index}).dropna()
    order = order.sort_values(["gain", "id"], ascending=[False, True], ignore_index=True)
    able = order.index[order["id"].isin(list(kept))]
    if len(able) < FEWEST:
        return []
    middle = min(able[1:-1], key=lambda place: (abs(2 * place - (len(order) - 1)), place))
    median = order["gain"].median()
    nearest = (order["gain"] - median).abs().min()

    def chosen(place: int, name: str, *, true: bool) -> Choice:
        said = name if true else f"{name} kept"
        return Choice(str(order["id"][place]), said, float(order["gain"][place]), int(place) + 1, len(order))

    gain = order["gain"]
    return [
        chosen(able[0], "best", true=gain[able[0]] == gain.iloc[0]),
        chosen(middle, "median", true=abs(gain[middle] - median) <= nearest),
        chosen(able[-1], "worst", true=gain[able[-1]] == gain.iloc[-1]),
    ]
