"""Scoring the images of `bench.commands.score`: one after the other, or spread over processes where that pays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bench.contracts import DECISION
from bench.images import MapFiles, MaskFiles
from bench.images import resize as resized
from bench.metrics.columns import score
from bench.plugins import metrics as plugged_in
from bench.plugins.variants import Variant
from bench.runtime.crew import crew
from bench.runtime.environment import cores
from bench.runtime.progress import track

TRIAL = 0.5
"""Seconds of work from which it is told how long the rest would take."""

WORTH = 1.0
"""Seconds of work that are worth one process more, which takes half of that to start."""

LARGEST_SHARE, SHARES = 64, 8
"""Images that a process is given at a time, at most, and how often it is given some, at least."""


class Files(NamedTuple):
    """A mask and its map."""

    id: str
    mask: Path
    map: Path


class Share(tuple[Files, ...]):
    """What a process is given at a time."""

    def __str__(self) -> str:
        return f"{self[0].map}" + (f" and {len(self) - 1} after it" if len(self) > 1 else "")


class Found(NamedTuple):
    """Of some images.

    Attributes:
        rows: one an image: its id, `bench.metrics.score` and the plugged-in metrics.
        truth, prediction: whether a mask, and whether a map, has any foreground.
        resized: maps that were of another size than their masks.
    """

    rows: list[dict[str, Any]]
    truth: bool = False
    prediction: bool = False
    resized: int = 0


class Scoring:
    """Scores maps.

    Args:
        masks, maps: how they are read.
        metrics: the plugged-in ones, by column.

    Raises:
        UserError: one of these cannot be made.
    """

    def __init__(self, masks: MaskFiles, maps: MapFiles, metrics: Mapping[str, Variant]) -> None:
        self.masks, self.maps, self.metrics = masks, maps, plugged_in.made(metrics)

    def __call__(self, share: Share) -> Found:
        """Raises UserError, naming the file or the metric, where one cannot be read or fails."""
        found = Found([])
        for sample_id, mask_file, map_file in share:
            mask, ignored = self.masks.read(mask_file)
            probs = self.maps.read(map_file)
            if probs.shape != mask.shape:
                probs = resized(probs, *mask.shape)
                found = found._replace(resized=found.resized + 1)
            if not (found.truth and found.prediction):
                truth, prediction = bool(mask.any()), bool((probs >= DECISION).any())
                found = found._replace(truth=found.truth or truth, prediction=found.prediction or prediction)
            own = plugged_in.values(self.metrics, probs, mask, str(map_file), ignored)
            found.rows.append({"id": sample_id, **score(probs, mask, ignore=ignored), **own})
        return found


Make: TypeAlias = Callable[[], Callable[[Share], Found]]


def scored(make: Make, files: Sequence[Files], workers: int | None) -> Found:
    """All images, in the order of their files; the same whatever ``workers`` is.

    Args:
        make: makes a `Scoring`, here or in another process.
        workers: processes, one native thread each; with one of them the work is done here. None has more than one where
            the images take longer than processes to start.

    Raises:
        UserError: as `Scoring`, of an image that cannot be scored; the others are left.
    """
    founds: list[Found] = []

    def rows() -> Iterator[dict[str, Any]]:
        for found in _founds(make, files, workers):
            founds.append(found._replace(rows=[]))
            yield from found.rows

    by_id = {row["id"]: row for row in track(rows(), "score", total=len(files))}
    return Found(
        [by_id[one.id] for one in files],
        any(found.truth for found in founds),
        any(found.prediction for found in founds),
        sum(found.resized for found in founds),
    )


def _founds(make: Make, files: Sequence[Files], workers: int | None) -> Iterator[Found]:
    """In any order."""
    if workers is None:
        work, began, done = make(), time.monotonic(), 0
        while done < len(files) and time.monotonic() - began < TRIAL:
            yield work(Share(files[done : done + 1]))
            done += 1
        left = (time.monotonic() - began) / max(done, 1) * (len(files) - done)
        workers, files = min(cores(), int(left / WORTH)), files[done:]
    count = max(1, min(LARGEST_SHARE, len(files) // (SHARES * max(1, workers))))
    shares = [Share(files[start : start + count]) for start in range(0, len(files), count)]
    with crew(make, min(workers, len(shares))) as each:
        yield from each(shares)
