"""Every val image judged by what learned without it: folds, parts of val, and the choice that follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.contracts import MapDataset, ProbabilityMap, Sample, UserError


class Part:
    """Some of a split's samples with their maps: `bench.contracts.MapDataset`.

    Args:
        whole: the split.
        indices: in it.
    """

    def __init__(self, whole: MapDataset, indices: Sequence[int]) -> None:
        self._whole, self._indices = whole, indices

    @property
    def ids(self) -> Sequence[str]:
        return [self._whole.ids[index] for index in self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        return self._whole[self._indices[index]]


def check_enough(val: MapDataset, who: str) -> None:
    """Raises UserError where val has fewer than two images: none could be judged by what has not seen it."""
    if len(val) < 2:
        fix = "give it two or more: each is judged by what has not seen it"
        raise UserError(f"val has {len(val)} image", f"{who} learns from val", fix)


def folds(ids: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """The fold of each sample, drawn at random.

    Args:
        ids: of the samples. The draw depends on which they are, and not on their order.
        count: number of folds, of sizes that differ by one at most; as many as there are samples where those are fewer.
        seed: of the draw.

    Returns:
        int64 ``(len(ids),)``, each in 0..count - 1.
    """
    by_name = np.argsort(np.array(ids, dtype=object), kind="stable")
    drawn = np.random.default_rng(seed).permutation(len(ids))
    found = np.empty(len(ids), np.int64)
    found[by_name[drawn]] = np.arange(len(ids)) % min(count, len(ids))
    return found


def one_standard_error(scores: NDArray[np.float64]) -> int:
    """The first option that is not worse than the best by more than one standard error of their paired difference.

    Args:
        scores: ``(options, samples)``, higher is better; the simplest option stands first. Two samples or more.

    Returns:
        its row. Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 7.10, there unpaired.
    """
    best = scores[scores.mean(axis=1).argmax()]
    behind = best - scores
    error = behind.std(axis=1, ddof=1) / np.sqrt(scores.shape[1])
    # What equals the best for every sample is behind by nothing, in spite of rounding.
    return int(np.flatnonzero(behind.mean(axis=1) <= error)[0])
