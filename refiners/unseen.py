"""A refiner inside another one: fitted on val, and asked what it makes of val's images unseen."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from bench.contracts import Checked, CrossFitted, MapDataset, ProbabilityMap, Refiner
from bench.cross_fitting import Part, folds

FOLDS = 5


class Unseen:
    """Fits a refiner that another one holds as its parameter ``refiner``, and refines val by what has not seen it.

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
    (refined,) = refiner.refine([sample.image], [probs])
    return refined
