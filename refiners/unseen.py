"""A refiner inside another one: fitted on val, and asked what it makes of val's images unseen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.contracts import CrossFitted, MapDataset, ProbabilityMap, Refiner
from bench.cross_fitting import Part, folds

FOLDS = 5


def fit_inner(refiner: Refiner, val: MapDataset, workdir: Path, seed: int) -> Callable[[int], ProbabilityMap]:
    """Fit a refiner that another one holds as its parameter ``refiner``, if it learns.

    Args:
        refiner: as it was given to the constructor, not fitted.
        val: what both learn from.
        workdir: that of the other one's fit; this one's is ``workdir / "refiner"``.
        seed: of the folds.

    Returns:
        index in val -> the map as refined by what has not learned from it: by the refiner itself where it learns
        nothing; as it says, where it is `CrossFitted`; else by one of `FOLDS` copies, each fitted, when first asked,
        without a part of val.
    """
    if not refiner.trainable:
        return lambda index: _refined(refiner, val, index)
    untrained = copy.deepcopy(refiner)
    refiner.fit(val, workdir / "refiner")
    if isinstance(refiner, CrossFitted):
        return lambda index: refiner.refine_unseen(val, index)
    fold, fitted = folds(val.ids, FOLDS, seed), dict[int, Refiner]()

    def unseen(index: int) -> ProbabilityMap:
        here = int(fold[index])
        if here not in fitted:
            fitted[here] = copy.deepcopy(untrained)
            fitted[here].fit(Part(val, np.flatnonzero(fold != here).tolist()), workdir / "folds" / str(here))
        return _refined(fitted[here], val, index)

    return unseen


def _refined(refiner: Refiner, val: MapDataset, index: int) -> ProbabilityMap:
    sample, probs = val[index]
    (refined,) = refiner.refine([sample.image], [probs])
    return refined
