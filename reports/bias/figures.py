"""From the bias vectors of a row's images to its figures. What the vectors hold: `bench.metrics.bias.Parts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics.bias import THRESHOLDS, UNBIASED, Parts, parts
from bench.reports.sheets import Value
from bench.reports.statistics import mean_gain, paired_gain

Floats = NDArray[np.float64]

HALF = len(THRESHOLDS) // 2 - 1
"""Index of the bin of thresholds that is one half."""

NEAR = slice(HALF - 2, HALF + 3)
"""The bins that are within 0.1 of it."""

QUARTILES = {"threshold_q1": 0.25, "threshold_median": 0.5, "threshold_q3": 0.75}


@dataclass(frozen=True)
class Figures:
    """What the maps of one base and one refiner are like.

    Attributes:
        vectors: ``(S, N, 156)`` of S seeds.
        images: the ids of the N images.
        groups: ``(N,)``, the number of each image's group; None where images are resampled, not groups.
    """

    vectors: Floats
    images: pd.Index[str]
    groups: NDArray[np.int64] | None = None

    @cached_property
    def positions(self) -> Floats:
        """``(8, 8)``: signed error at each position, averaged over the images; NaN where one of them lacks it."""
        return self._by_place.mean(axis=0)

    @cached_property
    def patches(self) -> Floats:
        """``(21,)``: share of the patches in each bin of `bench.metrics.bias.BIASES`, of all images and seeds."""
        return _ratio(self._pooled.bias, self._pooled.bias.sum())

    @cached_property
    def thresholds(self) -> Floats:
        """``(21,)``: share of the patches of both classes in each bin of `bench.metrics.bias.THRESHOLDS`."""
        return _ratio(self._pooled.thresholds, self._pooled.thresholds.sum())

    @cached_property
    def calibration(self) -> tuple[Floats, Floats, Floats]:
        """Of the pixels in each bin, each ``(15,)``: their share, mean probability, and share of foreground."""
        pooled = self._pooled
        return (
            _ratio(pooled.pixels, pooled.pixels.sum()),
            _ratio(pooled.probability, pooled.pixels),
            _ratio(pooled.truth, pooled.pixels),
        )

    def errors(self) -> dict[str, Value]:
        """By key of `bench.reports.bias.columns.ERRORS`; of a mean over images, _low and _high end its interval."""
        positions, chance = self._of_place()
        ece = float(np.mean([_calibration_error(seed) for seed in self._seeds]))
        means = self._means(_errors)
        return {"images": len(self.images), **means, "positions": positions, "chance": chance, "ece": ece}

    def change(self, base: Figures) -> dict[str, Value]:
        """How much more biased the patches are than the base's own, paired by image and seed; below 0 is less.

        Args:
            base: of the same seeds in the same order; of the images, those count that both have.
        """
        shared = self.images.intersection(base.images)
        if shared.empty:
            return {}
        one, other = (figures._absolute[figures.images.get_indexer(shared)] for figures in (self, base))
        groups = None if self.groups is None else self.groups[self.images.get_indexer(shared)]
        found = paired_gain(one, other, groups=groups)
        return {"change": found.mean, "change_low": found.low, "change_high": found.high}

    def of_thresholds(self) -> dict[str, Value]:
        """By key of `bench.reports.bias.columns.THRESHOLDS`; images without a patch of both classes have no share."""
        mixed = self._pooled.patches[0] / len(self._seeds)
        found: dict[str, Value] = {"images": len(self.images), "mixed": round(mixed)}
        if mixed:
            reached = np.concatenate([[0], self.thresholds.cumsum()])
            found |= {key: float(np.interp(share, reached, THRESHOLDS)) for key, share in QUARTILES.items()}
        return found | self._means(_thresholds)

    def _means(self, measures: Callable[[Parts], dict[str, Floats]]) -> dict[str, Value]:
        """Each measure's mean over images and the ends of its interval."""
        by_seed = [measures(seed) for seed in self._seeds]
        found: dict[str, Value] = {}
        for key in by_seed[0]:
            values = np.stack([of_seed[key] for of_seed in by_seed], axis=1)
            if not np.isnan(values).any(axis=1).all():
                mean = mean_gain(values, self.groups)
                found |= {key: mean.mean, f"{key}_low": mean.low, f"{key}_high": mean.high}
        return found

    @property
    def _absolute(self) -> Floats:
        """``(N, S)``: mean over each image's patches of their bias without its sign."""
        return np.stack([_errors(seed)["absolute"] for seed in self._seeds], axis=1)

    @cached_property
    def _seeds(self) -> list[Parts]:
        return [parts(vectors) for vectors in self.vectors]

    @cached_property
    def _pooled(self) -> Parts:
        """Sums over images and seeds."""
        return parts(self.vectors.sum(axis=(0, 1)))

    @cached_property
    def _by_place(self) -> Floats:
        """``(N, 8, 8)``, averaged over the seeds."""
        return np.asarray(np.mean([seed.error for seed in self._seeds], axis=0))

    def _of_place(self) -> tuple[float | None, float | None]:
        """Standard deviation over the positions, and what it would be on average if position made no difference.

        An image's errors, less their mean, are then zero on average at each position. So the means over N images
        have the variance of one image's, divided by N; how neighbouring positions hang together does not matter.
        """
        errors = self._by_place.reshape(len(self.images), -1)
        if len(errors) < 2 or np.isnan(errors).any():
            return None, None
        centred = errors - errors.mean(axis=1, keepdims=True)
        by_chance = np.sqrt(centred.var(axis=0, ddof=1).sum() / len(errors) / (errors.shape[1] - 1))
        return float(self.positions.std(ddof=1)), float(by_chance)


def _errors(seed: Parts) -> dict[str, Floats]:
    """Each ``(N,)``, one value an image."""
    patches, pixels = seed.patches.sum(axis=1), seed.pixels.sum(axis=1)
    down, up = seed.bias[:, :UNBIASED].sum(axis=1), seed.bias[:, UNBIASED + 1 :].sum(axis=1)
    return {
        "error": (seed.probability.sum(axis=1) - seed.truth.sum(axis=1)) / pixels,
        "absolute": seed.absolute[:, 0] / patches,
        "down": down / patches,
        "up": up / patches,
        "neither": seed.bias[:, UNBIASED] / patches,
        "both": ((down > 0) & (up > 0)).astype(np.float64),
    }


def _thresholds(seed: Parts) -> dict[str, Floats]:
    """Each ``(N,)``, one value an image; NaN where it has no patch of both classes."""
    mixed = seed.patches[:, 0]
    return {
        "near": _ratio(seed.thresholds[:, NEAR].sum(axis=1), mixed),
        "below": _ratio(seed.thresholds[:, : NEAR.start].sum(axis=1), mixed),
        "above": _ratio(seed.thresholds[:, NEAR.stop :].sum(axis=1), mixed),
        "gain": _ratio(seed.gain[:, 0], mixed),
    }


def _calibration_error(seed: Parts) -> float:
    """ECE of all pixels: over the bins, |mean probability - share of foreground|, weighted with their pixels."""
    gaps = np.abs(seed.probability.sum(axis=0) - seed.truth.sum(axis=0))
    return float(gaps.sum() / seed.pixels.sum())


def _ratio(part: Floats, whole: Floats) -> Floats:
    """NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
