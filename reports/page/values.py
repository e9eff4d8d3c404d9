"""Every image's numbers: of a row and of what it is compared with, over the same seeds."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics.columns import COSTS, IMAGE_METRICS, Facts
from bench.reports.columns import QUALITY, Floats, per_image
from bench.reports.page.lines import Line
from bench.reports.pairs import aligned
from bench.reports.rows import Row
from bench.reports.scores import shared_images
from bench.reports.tables import Block

_SECONDS = COSTS[0]

NONE = 0xFFFFFF
"""The code of no value."""

FINER = 2
"""Digits beyond those that are shown: a difference of two values is then right as it is shown."""


def measures(row: Row) -> list[Facts]:
    """The numbers that an image of the row has: metrics, those of plug-ins but for curves, seconds."""
    return [*IMAGE_METRICS, *(column for column in row.plugged_in if not column.curve), _SECONDS]


def described(facts: Facts) -> dict[str, Any]:
    """What the page knows of a number; ``step`` is what one unit of `values` is worth, as it is shown."""
    return {
        "key": facts.key,
        "title": facts.title,
        "digits": facts.digits,
        "better": "lower" if facts is _SECONDS else facts.better,
        "step": 10.0 ** -(facts.digits + FINER),
    }


def images(rows: Iterable[Row]) -> list[str]:
    """The images of all of them, in the order of the first row that has them."""
    return list(dict.fromkeys(name for each in _sets(rows).values() for name in each))


def images_of_blocks(blocks: Iterable[Block]) -> dict[int, list[str]]:
    """By the ``id`` of the block the `images` of its rows; blocks of the same images share the list."""
    found: dict[tuple[int, ...], list[str]] = {}
    of_blocks = {}
    for block in blocks:
        key = tuple(_sets(block.rows))
        if key not in found:
            found[key] = images(block.rows)
        of_blocks[id(block)] = found[key]
    return of_blocks


def _sets(rows: Iterable[Row]) -> dict[int, pd.Index[str]]:
    return {id(cell.images): cell.images for row in rows for cell in row.records.values()}


def over(seeds: Sequence[int]) -> str:
    """What is said of them where values are averaged over them."""
    return f"Numbers are over seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def values(row: Row, seeds: Sequence[int], order: Sequence[str]) -> dict[str, Any]:
    """By the key of its measure a value an image, averaged over seeds, as whole numbers of `described`'s steps, packed.

    Args:
        seeds: some of the row's.
        order: the images; one that the row lacks, or that has no value, is None.
    """
    records = {seed: row.records[seed] for seed in seeds}
    places = shared_images(records.values()).get_indexer(pd.Index(order))
    return {facts.key: packed(list(_whole(per_image(records, facts.key), facts, places))) for facts in measures(row)}


def packed(values: Sequence[int | None]) -> Any:
    """Whole numbers in half the room of their digits: ``{"low", "codes"}``, which `unpack` of images.js reads.

    A code is 3 bytes, little-endian, in base64: what a value is above the lowest; `NONE` stands for None. Values too
    far apart for that stay as they are.
    """
    known = [value for value in values if value is not None]
    low = min(known, default=0)
    if max(known, default=0) - low >= NONE:
        return list(values)
    codes = np.array([NONE if value is None else value - low for value in values], "<u4")
    three = codes.view(np.uint8).reshape(-1, 4)[:, :3]
    return {"low": low, "codes": base64.b64encode(three.tobytes()).decode()}


def paired_seeds(line: Line) -> tuple[int, ...]:
    """The seeds that the row shares with its base, on the same maps; none where they cannot be paired."""
    if line.baseline is None or line.row.status != "done" or line.row is line.baseline:
        return ()
    pair = aligned((line.row, line.baseline), (QUALITY[0].key,))
    return () if pair is None else pair.seeds


def _whole(values: Floats, facts: Facts, places: NDArray[np.intp]) -> Iterator[int | None]:
    """The values at some places as whole steps; None at -1."""
    steps = np.full(len(places), np.nan)
    steps[places >= 0] = values[places[places >= 0]] * facts.scale * 10 ** (facts.digits + FINER)
    return (int(value) if there else None for value, there in zip(np.rint(steps), np.isfinite(steps), strict=True))
