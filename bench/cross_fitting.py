"""Every val image judged by what learned without it: folds, parts of val, refiners in others, and what is chosen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Checked, CrossFitted, MapDataset, Oracle, ProbabilityMap, Refiner, Sample, UserError

FOLDS = 5
"""Parts of val; a refiner that cannot tell what it makes of an image unseen is fitted without each of them."""


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


class Unseen:
    """Fits a refiner that another one holds, as its parameter ``refiner`` or as its part, and refines val unseen.

    By the refiner itself where it learns nothing; as it says, where it is `CrossFitted`; else by one of `FOLDS` copies,
    each fitted, when first asked, without a part of val.

    Args:
        refiner: as it was given to the constructor, not fitted.
        val: what both learn from.
        workdir: that of the other one's fit; this one's is ``workdir / "refiner"``.
        seed: of the parts.
    """

    def __init__(self, refiner: Refiner, val: MapDataset, workdir: Path, seed: int) -> None:
        self._refiner, self._workdir = refiner, workdir
        self._fitted: dict[int, Refiner] = {}
        if refiner.trainable and not isinstance(refiner, CrossFitted):
            self._untrained = copy.deepcopy(refiner)
            self._fold = folds(val.ids, FOLDS, seed)
        if refiner.trainable:
            refiner.fit(val, workdir / "refiner")

    def refine(self, val: MapDataset, index: int) -> ProbabilityMap:
        """The map of val's image ``index``; val is what the refiner was fitted on."""
        if not self._refiner.trainable:
            return _refined(self._refiner, val, index)
        if isinstance(self._refiner, CrossFitted):
            return self._refiner.refine_unseen(val, index)
        here = int(self._fold[index])
        if here not in self._fitted:
            one = copy.deepcopy(self._untrained)
            one.fit(Part(val, np.flatnonzero(self._fold != here).tolist()), self._workdir / "folds" / str(here))
            self._fitted[here] = one
        return _refined(self._fitted[here], val, index)


def check_inner(refiner: Refiner) -> None:
    """See `bench.contracts.Checked`: what the fit of a refiner in another one needs."""
    if refiner.trainable and isinstance(refiner, Checked):
        refiner.check_fit()


def _refined(refiner: Refiner, val: MapDataset, index: int) -> ProbabilityMap:
    sample, probs = val[index]
    if isinstance(refiner, Oracle):
        (refined,) = refiner.refine_knowing([sample.image], [probs], [sample.mask])
        return refined
    (refined,) = refiner.refine([sample.image], [probs])
    return refined
