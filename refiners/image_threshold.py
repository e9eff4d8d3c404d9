"""A threshold for each image, predicted from how its map looks: between one for all and one a patch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

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
from bench.cross_fitting import FOLDS, Unseen, check_enough, check_inner, folds, one_standard_error
from bench.images import to_uint16
from bench.refiners.looks import Features, Scene, of_map
from bench.refiners.threshold import LEVELS, iou_by_threshold, remap
from bench.runtime.files import replacing
from bench.runtime.progress import note, track

THRESHOLDS = np.arange(1, 40) / 40
"""What a prediction chooses from."""

CHOICES = ("the base's map", "one threshold", "one an image")
"""The simplest first."""

OWN = 2
"""The place of the last."""

BINS = 32
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
AREAS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


class ImageThreshold(Refiner):
    """A threshold for each image, from what val's maps and images look like: what oracle-image knows, predicted.

    Extremely randomised trees (scikit-learn's `ExtraTreesRegressor`) learn from val how the IoU of an image depends on
    the threshold, `THRESHOLDS`, from the map's histogram and `bench.refiners.looks`. Each map is remapped so that the
    threshold with the highest prediction lies at one half. Val's images, each predicted by trees that have not seen it,
    decide under the one-standard-error rule whether that is done, or one threshold serves all, or none is moved.

    Args:
        refiner: whose maps the thresholds are of; None is the base. What the trees learn from it is unseen, see
            `bench.cross_fitting.Unseen`.
        trees: how many.
        min_samples: images in a leaf, at least.
    """

    trainable = True
    search_space: ClassVar[SearchSpace] = {"trees": Span(100, 600, log=True), "min_samples": Span(1, 10)}
    cost: ClassVar[Budget] = Budget(seconds=0.2, memory_mb=40)

    def __init__(
        self, *, refiner: Refiner | None = None, trees: int = 300, min_samples: int = 3, seed: int = 0
    ) -> None:
        for name, value in (("trees", trees), ("min_samples", min_samples)):
            if value < 1:
                raise UserError(f"{name}={value}", f"image-threshold[{name}={value}]", "give 1 or more")
        self.trees, self.min_samples, self.seed = trees, min_samples, seed
        self.refiner = refiner
        self._trees: Any = None
        self._threshold = DECISION
        self._unseen: Unseen | None = None
        self._of_val: NDArray[np.float64]

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """See `bench.contracts.Refiner`. Leaves ``images.npz``: looks and IoUs of val, from which the trees regrow; and
        ``choice.npz``: what val decided, for which five forests are grown, once.

        Raises:
            UserError: val has fewer than two images.
        """
        check_enough(val, "image-threshold")
        if self.refiner is not None:
            self._unseen = Unseen(self.refiner, val, workdir, self.seed)
        file, decided = workdir / "images.npz", workdir / "choice.npz"
        first = not file.is_file()
        if first:
            features, curves = self._labelled(val)
            _save(file, features=features, curves=curves)
        with np.load(file, allow_pickle=False) as stored:
            features, curves = stored["features"], stored["curves"]
        if not decided.is_file():
            choice, unseen, said = self._choose(folds(val.ids, FOLDS, self.seed), features, curves)
            _save(decided, choice=np.array(choice), unseen=unseen)
            if first:
                note(f"image-threshold: {said}")
        with np.load(decided, allow_pickle=False) as stored:
            choice, self._of_val = int(stored["choice"]), stored["unseen"]
        self._threshold = float(THRESHOLDS[_centre(curves.mean(axis=0))]) if choice else DECISION
        self._trees = self._grown(features, curves) if choice == OWN else None

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. Maps stay as they are until `fit`."""
        if self.refiner is not None:
            maps = self.refiner.refine(images, maps)
        return [remap(probs, self._best(image, probs)) for image, probs in zip(images, maps, strict=True)]

    def refine_unseen(self, val: MapDataset, index: int) -> ProbabilityMap:
        """See `bench.contracts.CrossFitted`."""
        return remap(self._before(val, index), float(self._of_val[index]))

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`."""
        if self.refiner is not None:
            check_inner(self.refiner)

    def _before(self, val: MapDataset, index: int) -> ProbabilityMap:
        """The map whose threshold is looked for."""
        return val[index][1] if self._unseen is None else self._unseen.refine(val, index)

    def _best(self, image: Image, probs: ProbabilityMap) -> float:
        if self._trees is None:
            return self._threshold
        return float(THRESHOLDS[self._trees.predict(map_features(image, probs)[None])[0].argmax()])

    def _labelled(self, val: MapDataset) -> tuple[Features, NDArray[np.float64]]:
        codes = np.ceil(THRESHOLDS * (LEVELS - 1)).astype(np.int64)
        features, curves = [], []
        for index in track(range(len(val)), "look at val's maps"):
            sample, probs = val[index][0], self._before(val, index)
            features.append(map_features(sample.image, probs))
            curves.append(iou_by_threshold(to_uint16(probs), sample.mask)[codes])
        return np.stack(features), np.stack(curves)

    def _choose(
        self, fold: NDArray[np.int64], features: Features, curves: NDArray[np.float64]
    ) -> tuple[int, NDArray[np.float64], str]:
        """What val decides, of `CHOICES`; each image's threshold by what has not seen it; and that in a line."""
        half = int(np.flatnonzero(THRESHOLDS == DECISION)[0])
        places = np.full((len(CHOICES), len(fold)), half)
        for here in range(fold.max() + 1):
            seen, unseen = fold != here, fold == here
            places[1, unseen] = _centre(curves[seen].mean(axis=0))
            places[OWN, unseen] = self._grown(features[seen], curves[seen]).predict(features[unseen]).argmax(axis=1)
        scores = curves[np.arange(len(fold)), places]
        choice = one_standard_error(scores)
        means = [f"{100 * score.mean():.2f}" for score in scores]
        said = f"val mIoU of base {means[0]}, one threshold {means[1]}, own {means[2]}; it is {CHOICES[choice]}"
        return choice, THRESHOLDS[places[choice]], said

    def _grown(self, features: Features, curves: NDArray[np.float64]) -> Any:
        from sklearn.ensemble import ExtraTreesRegressor

        trees = ExtraTreesRegressor(
            self.trees, min_samples_leaf=self.min_samples, max_features=0.5, random_state=self.seed
        )
        # How hard the image is says nothing of its threshold, and would be most of what the trees explain.
        return trees.fit(features, curves - curves.mean(axis=1, keepdims=True))


def map_features(image: Image, probs: ProbabilityMap) -> Features:
    """What the trees see: float64 ``(60,)``, all finite.

    The map's histogram of `BINS` bins, in shares of the pixels; `QUANTILES`; the share above each of `AREAS`, as
    log1p of percent; then `bench.refiners.looks.of_map` and `Scene.numbers`.

    Args:
        image: uint8 ``(H, W, 3)``.
        probs: float32 ``(H, W)`` in [0, 1].
    """
    scene = Scene.of(image)
    small = scene.seen(probs)
    histogram = np.histogram(probs, BINS, (0, 1))[0] / probs.size
    areas = [float(np.log1p(100 * (probs >= threshold).mean())) for threshold in AREAS]
    return np.array([*histogram, *np.quantile(probs, QUANTILES), *areas, *of_map(small, scene), *scene.numbers()])


def _save(file: Path, **arrays: np.ndarray) -> None:
    with replacing(file) as path, path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # it takes arrays under any name


def _centre(means: NDArray[np.float64]) -> int:
    """The best threshold's place; of several that are best, the one nearest one half."""
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return int(best[np.abs(THRESHOLDS[best] - DECISION).argmin()])
