"""A threshold for each patch, predicted from how the map looks there: the naive way to patch-wise binarisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import (
    DECISION,
    Budget,
    Image,
    MapDataset,
    ProbabilityMap,
    Refiner,
    SearchSpace,
    Span,
    UserError,
)
from bench.patches import patch_targets, windows
from bench.refiners.threshold import remap
from bench.runtime.files import replacing
from bench.runtime.progress import track

Features: TypeAlias = NDArray[np.float32]

LOWEST = 0.5 / 65535
"""Thresholds stay this far from 0 and 1, half a step of a 16-bit map: 0 is always background, and 1 foreground."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
NEIGHBOURS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0))


class PatchThreshold(Refiner):
    """A threshold for each patch, regressed from its look on val: the naive predictor PatchRefineNet argues against.

    Val's patches are labelled with their best threshold (`patch_targets`), and boosted regression trees (scikit-learn's
    `HistGradientBoostingRegressor`) learn it from what `patch_features` says of the map and the image. Each patch is
    then remapped so that its predicted threshold lies at one half. PatchRefineNet (WACV 2024) predicts the binarised
    patch itself instead.

    Args:
        patch: side of a patch in pixels of the image; those at the right and bottom border may be smaller.
        trees: how many.
        depth: of a tree, at most.
        learning_rate: share of each tree that is added.
        min_samples: patches in a leaf, at least.
    """

    trainable = True
    search_space: ClassVar[SearchSpace] = {
        "patch": (32, 64, 128, 256),
        "trees": Span(25, 400, log=True),
        "depth": Span(2, 8),
        "learning_rate": Span(0.01, 0.3, log=True),
        "min_samples": Span(5, 100, log=True),
    }
    cost: ClassVar[Budget] = Budget(seconds=0.2, memory_mb=32)

    def __init__(
        self,
        *,
        patch: int = 64,
        trees: int = 100,
        depth: int = 4,
        learning_rate: float = 0.05,
        min_samples: int = 20,
        seed: int = 0,
    ) -> None:
        for name, value in (("patch", patch), ("trees", trees), ("depth", depth), ("min_samples", min_samples)):
            if value < 1:
                raise UserError(f"{name}={value}", f"patch-threshold[{name}={value}]", "give 1 or more")
        if not 0 < learning_rate <= 1:
            raise UserError(f"learning_rate={learning_rate}", "patch-threshold", "give a number above 0, at most 1")
        self.patch, self.seed = patch, seed
        self.trees, self.depth, self.learning_rate, self.min_samples = trees, depth, learning_rate, min_samples
        self._trees: Any = None

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """See `bench.contracts.Refiner`. Leaves ``patches.npz``: the labelled patches, from which the trees regrow.

        The trees themselves are not stored: scikit-learn has no format for them that is safe to load. They depend on
        the patches, the parameters and the seed alone, and take seconds. Memory: 160 bytes a patch of val.

        Raises:
            UserError: val is empty.
        """
        file = workdir / "patches.npz"
        if not file.is_file():
            features, targets = self._labelled(val)
            with replacing(file) as path, path.open("wb") as stream:
                np.savez(stream, features=features, targets=targets)
        with np.load(file, allow_pickle=False) as stored:
            self._trees = self._grown(stored["features"], stored["targets"])

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. Maps stay as they are until `fit`."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _labelled(self, val: MapDataset) -> tuple[Features, NDArray[np.float32]]:
        if not len(val):
            raise UserError("no maps to learn thresholds from", "val", "name a dataset whose val split has images")
        features, targets = [], []
        for index in track(range(len(val)), "label patches"):
            sample, probs = val[index]
            rows = patch_features(sample.image, probs, self.patch)
            features.append(rows.reshape(-1, rows.shape[-1]))
            targets.append(patch_targets(probs, sample.mask, self.patch).ravel().astype(np.float32))
        return np.concatenate(features), np.concatenate(targets)

    def _grown(self, features: Features, targets: NDArray[np.float32]) -> Any:
        from sklearn.ensemble import HistGradientBoostingRegressor

        trees = HistGradientBoostingRegressor(
            max_iter=self.trees,
            max_depth=self.depth,
            learning_rate=self.learning_rate,
            min_samples_leaf=self.min_samples,
            early_stopping=False,
            random_state=self.seed,
        )
        return trees.fit(features, targets)

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        if self._trees is None:
            return probs.copy()
        features = patch_features(image, probs, self.patch)
        rows, columns, count = features.shape
        predicted = self._trees.predict(features.reshape(-1, count)).reshape(rows, columns)
        thresholds = np.clip(predicted, LOWEST, 1 - LOWEST)
        refined = np.empty_like(probs)
        for (row, column), here in windows(probs.shape, self.patch):
            refined[here] = remap(probs[here], float(thresholds[row, column]))
        return refined


def patch_features(image: Image, probs: ProbabilityMap, patch: int) -> Features:
    """What the trees see of a patch.

    In order: of the patch's map its mean, standard deviation, share of foreground at one half, share between 0.1 and
    0.9, and `QUANTILES`; the same of the whole map; mean of the 8 neighbours' maps (beyond the border,
    of the patch at the border); mean and standard deviation of each channel of the image in the patch, in [0, 1].

    Args:
        image: uint8 ``(H, W, 3)``.
        probs: float32 ``(H, W)`` in [0, 1].
        patch: side of a patch, pixels.

    Returns:
        float32 ``(rows, columns, 36)``.
    """
    rows, columns = (-(-side // patch) for side in probs.shape)
    own = np.empty((rows, columns, 4 + len(QUANTILES)))
    colours = np.empty((rows, columns, 6))
    for cell, here in windows(probs.shape, patch):
        own[cell] = _summary(probs[here])
        pixels = image[here].reshape(-1, 3) / 255
        colours[cell] = np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])
    whole = np.broadcast_to(_summary(probs), own.shape)
    around = np.pad(own[:, :, 0], 1, mode="edge")
    beside = [around[1 + row : 1 + row + rows, 1 + column : 1 + column + columns] for row, column in NEIGHBOURS]
    return np.concatenate([own, whole, np.stack(beside, axis=-1), colours], axis=-1).astype(np.float32)


def _summary(probs: ProbabilityMap) -> NDArray[np.float64]:
    shares = [(probs >= DECISION).mean(), ((probs > 0.1) & (probs < 0.9)).mean()]
    return np.array(
        [probs.mean(dtype=np.float64), probs.std(dtype=np.float64), *shares, *np.quantile(probs, QUANTILES)]
    )
