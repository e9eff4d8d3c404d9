"""What changed between two stores: paired differences of their cells, B minus A, and which are for the worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import UserError
from bench.metrics.columns import COSTS, COUNTS, IMAGE_METRICS, Better
from bench.reports.pairing import paired
from bench.reports.reading import Found
from bench.reports.scores import Numbers, Scores
from bench.reports.selection import Selected
from bench.reports.statistics import RESOLUTION, ROUNDING, Gain, paired_gain
from bench.store import Manifest

TOLERANCE = 100 * RESOLUTION
"""Percent points: one step of the gains as reports show them, so that what no table shows is no regression."""

Verdict = Literal["regressed", "improved", "changed", "equal"]


@dataclass(frozen=True)
class Metric:
    """A metric that both cells of a pair have.

    Attributes:
        key, title: as in `bench.metrics.columns`.
        better: which end is good.
        fraction: its values are fractions, so that a tolerance in percent points applies. Others are not judged.
    """

    key: str
    title: str
    better: Better | None
    fraction: bool


@dataclass(frozen=True)
class Change:
    """A metric that is not the same in all images.

    Attributes:
        before, after: means over the images where both are defined; None where there are none, and of curves.
        gain: of B over A; as stored, so a fraction below zero is a fall, whichever end is good.
        images: number of images whose value differs.
        one_sided: number of images that have a value in one store alone.
        tolerance: percent points.
    """

    metric: Metric
    before: float | None
    after: float | None
    gain: Gain | None
    images: int
    one_sided: int
    tolerance: float

    @property
    def verdict(self) -> Verdict:
        """``regressed`` where it is worse by more than the tolerance and its interval excludes zero.

        ``improved`` likewise, else ``changed``.
        """
        gain = self.gain
        if not self.metric.fraction or gain is None or gain.low is None or gain.high is None:
            return "changed"
        if abs(gain.mean) <= self.tolerance / 100 + ROUNDING or gain.low <= 0 <= gain.high:
            return "changed"
        return "improved" if (gain.mean > 0) == (self.metric.better != "lower") else "regressed"


@dataclass(frozen=True)
class Compared:
    """A cell that has finished in both stores.

    Attributes:
        cell, other: as A has it, and B.
        images: number of test images; changed: of those with another value in any metric.
        metrics: keys of those that both were scored by in one version.
        changes: of the metrics that differ.
        seconds: of the refine step, median over images, in A and in B; None where it was not measured.
    """

    cell: Selected
    other: Selected
    images: int
    changed: int
    metrics: tuple[str, ...]
    changes: tuple[Change, ...]
    seconds: tuple[float | None, float | None]

    @property
    def verdict(self) -> Verdict:
        """The worst of its metrics; ``equal`` where every value of every image is the same to the last bit."""
        found = {change.verdict for change in self.changes}
        order: tuple[Verdict, ...] = ("regressed", "improved", "changed")
        return next((verdict for verdict in order if verdict in found), "changed" if self.changed else "equal")


@dataclass(frozen=True)
class Unpaired:
    """A cell that has finished in one store alone.

    Attributes:
        where: that store: ``A`` or ``B``.
        why: what the other one has of it.
        lost: it has finished in A, and what B says is that it failed.
    """

    cell: Selected
    where: Literal["A", "B"]
    why: str
    lost: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two stores, cell by cell.

    Attributes:
        tolerance: percent points.
        cells: those that both have finished, by dataset and base, else in the order of A.
        unpaired: those that one of them has finished.
        replaced: number of cells, of either side, after which a newer one of the same name has failed.
    """

    tolerance: float
    cells: tuple[Compared, ...]
    unpaired: tuple[Unpaired, ...]
    replaced: int

    def of(self, verdict: Verdict) -> list[Compared]:
        """The compared cells with that verdict."""
        return [cell for cell in self.cells if cell.verdict == verdict]

    @property
    def lost(self) -> list[Unpaired]:
        """Cells that have finished in A and failed in B."""
        return [cell for cell in self.unpaired if cell.lost]

    @property
    def regressed(self) -> bool:
        """Something is worse in B: a metric of a cell, or a cell that fails."""
        return bool(self.of("regressed") or self.lost)


def compare(before: Found, after: Found, tolerance: float = TOLERANCE) -> Comparison:
    """Pair the cells and their images, and take the differences, B minus A.

    Args:
        before: store A.
        after: store B.
        tolerance: percent points that a metric may get worse by.

    Raises:
        UserError: no cell has finished in both, or cells that belong together cannot be compared, see
            `bench.reports.pairing.paired`.
    """
    pairing = paired(before.cells, after.cells)
    done = [pair for pair in pairing.pairs if all(cell.manifest.status == "done" for cell in pair)]
    if not done:
        raise UserError("A and B share no finished cell", "bench compare", "run the same experiment into both stores")
    places = {name: place for place, name in enumerate(dict.fromkeys(map(_table, before.cells)))}
    done.sort(key=lambda pair: places[_table(pair[0])])
    cells = [_compared(one, other, before, after, tolerance) for one, other in done]
    unpaired = [cell for pair in pairing.pairs if (cell := _one_sided(*pair)) is not None]
    unpaired += [Unpaired(cell, "A", "not in B") for cell in pairing.before if cell.manifest.status == "done"]
    unpaired += [Unpaired(cell, "B", "not in A") for cell in pairing.after if cell.manifest.status == "done"]
    newer = [cell.newer for cell in (*before.cells, *after.cells) if cell.newer is not None]
    replaced = sum(manifest.status == "failed" for manifest in newer)
    return Comparison(tolerance, tuple(cells), tuple(unpaired), replaced)


def _table(cell: Selected) -> tuple[str, str, str]:
    return cell.dataset, cell.manifest.protocol, cell.base


def _one_sided(one: Selected, other: Selected) -> Unpaired | None:
    states = one.manifest.status, other.manifest.status
    if (states[0] == "done") == (states[1] == "done"):
        return None
    missing = other if states[0] == "done" else one
    what = "damaged" if missing.damaged else missing.manifest.status
    said = f"{what}: {missing.manifest.error}" if missing.manifest.error else what
    if states[0] == "done":
        return Unpaired(one, "A", f"{said} in B", lost=what == "failed")
    return Unpaired(other, "B", f"{said} in A")


def _compared(one: Selected, other: Selected, before: Found, after: Found, tolerance: float) -> Compared:
    old, new = (found.scores[cell.manifest.key] for cell, found in ((one, before), (other, after)))
    images = old.images
    if not images.equals(new.images) and not images.sort_values().equals(new.images.sort_values()):
        where, fix = one.manifest.title, "check both with 'bench store check'"
        raise UserError("the records are of other images in A than in B", where, fix)
    metrics = list(_metrics(one.manifest, other.manifest))
    pairs = {key: (old[key], new.of(images, key)) for key in (*(metric.key for metric in metrics), *COUNTS)}
    differ = {key: _differ(*pair) for key, pair in pairs.items()}
    changes = [
        _change(metric, *pairs[metric.key], int(differ[metric.key].sum()), tolerance)
        for metric in metrics
        if differ[metric.key].any()
    ]
    changed = int(np.logical_or.reduce([*differ.values()]).sum())
    keys = tuple(metric.key for metric in metrics)
    return Compared(one, other, len(images), changed, keys, tuple(changes), (_seconds(old), _seconds(new)))


def _metrics(one: Manifest, other: Manifest) -> Iterator[Metric]:
    """The built-in ones, and the plugged-in ones that both were scored by in the same version."""
    for facts in IMAGE_METRICS:
        yield Metric(facts.key, facts.title, facts.better, fraction=True)
    mine, its = (_plugged_in(manifest) for manifest in (one, other))
    for key, plugged in one.metrics.items():
        if plugged == other.metrics.get(key) and mine.get(key) == its.get(key):
            yield Metric(key, plugged.title, plugged.better, fraction=plugged.scale == 100)


def _plugged_in(manifest: Manifest) -> Mapping[str, object]:
    return {part["label"]: part for part in manifest.identity.get("plugged_in_metrics", [])}


def _differ(old: Numbers, new: Numbers) -> NDArray[np.bool_]:
    differ = (old != new) & ~(np.isnan(old) & np.isnan(new))
    return differ if differ.ndim == 1 else np.asarray(differ.any(axis=1))  # a curve for each image


def _change(metric: Metric, old: Numbers, new: Numbers, images: int, tolerance: float) -> Change:
    if old.ndim > 1:
        return Change(metric, None, None, None, images, 0, tolerance)
    there, still = ~np.isnan(old), ~np.isnan(new)
    both, one_sided = there & still, int((there != still).sum())
    if not both.any():
        return Change(metric, None, None, None, images, one_sided, tolerance)
    before, after = (side[both].astype(np.float64, copy=False) for side in (old, new))
    gain = paired_gain(after, before)
    return Change(metric, float(before.mean()), float(after.mean()), gain, images, one_sided, tolerance)


def _seconds(scores: Scores) -> float | None:
    seconds = scores[COSTS[0].key]
    known = seconds[~np.isnan(seconds)]
    return float(np.median(known)) if known.size else None
