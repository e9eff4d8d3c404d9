"""What a gate has seen of val, what it learns from it, and where it draws the line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cross_fitting import FOLDS, folds
from bench.refiners.looks import Features
from bench.runtime.files import replacing

HARM = 1.0
"""An image is harmed where it loses more than this, in points of IoU: what the tables count as lost."""


@dataclass(frozen=True)
class Judged:
    """Val's images, each refined by what had not learned from it.

    Attributes:
        ids: of the images.
        features: float64 ``(images, features)``.
        gains: float64 ``(images,)``, points of IoU that refining gained or lost.
        seed: of the folds and of the trees.
        known: `unseen`, where it was computed before.
    """

    ids: tuple[str, ...]
    features: Features
    gains: NDArray[np.float64]
    seed: int
    known: NDArray[np.float64] | None = None

    def save(self, path: Path) -> None:
        """Write what `load` reads."""
        ids = np.array(self.ids, dtype=np.str_)
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, ids=ids, features=self.features, gains=self.gains, unseen=self.unseen)

    @classmethod
    def load(cls, path: Path, seed: int) -> Judged:
        """What `save` wrote; files of earlier releases lack ``unseen``."""
        with np.load(path, allow_pickle=False) as stored:
            ids = tuple(stored["ids"].tolist())
            return cls(ids, stored["features"], stored["gains"], seed, stored.get("unseen"))

    @cached_property
    def unseen(self) -> NDArray[np.float64]:
        """Each image's predicted gain, by trees that have not seen it."""
        if self.known is not None:
            return self.known
        fold = folds(self.ids, FOLDS, self.seed)
        predicted = np.empty(len(self.ids))
        for here in range(fold.max() + 1):
            others = fold != here
            predicted[~others] = self.grown(others).predict(self.features[~others])
        return predicted

    def grown(self, of: NDArray[np.bool_] | None = None) -> Any:
        """Trees that predict the gain, of some of the images or of all: scikit-learn's, with ``predict``."""
        from sklearn.ensemble import ExtraTreesRegressor

        trees = ExtraTreesRegressor(n_estimators=300, min_samples_leaf=5, max_features=0.5, random_state=self.seed)
        of = np.ones(len(self.ids), np.bool_) if of is None else of
        return trees.fit(self.features[of], self.gains[of])

    def line(self, risk: float) -> float:
        """The lowest predicted gain, zero or more, from which on to refine; infinite where none keeps to the risk.

        Of the images of val, `unseen` is compared with it: those refined and harmed, and one more for the image to
        come, are at most ``risk`` of all and one (conformal risk control: Angelopoulos et al., ICLR 2024, equation 4).
        An image drawn like val's is then harmed with a probability of at most ``risk``, over draws of val.
        """
        harmed = np.sort(self.unseen[self.gains < -HARM])[::-1]
        allowed = int(np.floor(risk * (len(self.gains) + 1) + 1e-9)) - 1
        if allowed < 0:
            return np.inf
        if len(harmed) <= allowed:
            return 0.0
        # Just above the first harmed image that would be one too many.
        return max(0.0, float(np.nextafter(harmed[allowed], np.inf)))
