"""Calibration of a map's probabilities on val: temperature, Platt's sigmoid, or isotonic regression."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Budget, Image, MapDataset, ProbabilityMap, Refiner, SearchSpace, UserError
from bench.images import to_uint16
from bench.runtime.files import replacing
from bench.runtime.progress import track

Method = Literal["temperature", "platt", "isotonic"]
Floats: TypeAlias = NDArray[np.float64]

LEVELS = 65536
EPSILON = 0.5 / (LEVELS - 1)
"""Probabilities are kept this far from 0 and 1, half a 16-bit step, so that their logits are finite."""

SLOPES = (0.01, 100.0)
"""Temperatures from 100 down to 0.01. Maps that are right everywhere would have 0, maps that are wrong infinity."""


@dataclass(frozen=True, slots=True)
class Logistic:
    """Probability -> sigmoid of ``slope`` x its logit + ``offset``. The slope is one over the temperature."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, probs: Floats) -> Floats:
        from scipy.special import expit

        return expit(self.slope * _logits(probs) + self.offset)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Probability -> a rising curve, linear between the points (``probs``, ``calibrated``), level beyond them."""

    probs: tuple[float, ...]
    calibrated: tuple[float, ...]

    def __call__(self, probs: Floats) -> Floats:
        return np.interp(probs, self.probs, self.calibrated)


Curve: TypeAlias = Logistic | Isotonic


class Calibration(Refiner):
    """Probabilities made honest on val: temperature, Platt scaling or isotonic regression; one curve for all pixels.

    Each minimises the negative log-likelihood (isotonic: the squared error, which here has the same minimum) of val's
    pixels, every image counting the same, as it does in the reports' means. It is fitted to a histogram of 16-bit
    codes, so that its memory does not grow with val. The curves rise everywhere, hence what can be won in IoU on val
    is bounded by `bench.refiners.threshold.Threshold`, which tunes for it. The mean absolute error may well rise: it
    is no proper score, and rewards a map for being surer than it should.

    - ``temperature`` (Guo et al., ICML 2017): the logit divided by one number. One half stays one half, so that
      the mask and its IoU never change; only the map's values do.
    - ``platt`` (Platt 1999, without its smoothed targets): the logit times a slope plus an offset.
    - ``isotonic`` (Zadrozny and Elkan, KDD 2002): any curve that never falls. One half then parts the pixels where
      foreground is likelier than not from the others, the decision with the fewest wrong pixels on val.

    Args:
        method: the curve's form.
    """

    trainable = True
    search_space: ClassVar[SearchSpace] = {"method": ("temperature", "platt", "isotonic")}
    cost: ClassVar[Budget] = Budget(seconds=0.1, memory_mb=32)

    def __init__(self, *, method: Method = "isotonic") -> None:
        self.method = method
        self.curve: Curve = Logistic()

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """See `bench.contracts.Refiner`. Leaves ``calibration.json``: the curve and val's likelihood without and with.

        Raises:
            UserError: val is empty.
        """
        file = workdir / "calibration.json"
        if file.is_file():
            kind = Isotonic if self.method == "isotonic" else Logistic
            self.curve = kind(**json.loads(file.read_text())["curve"])
            return
        pixels, foreground = _histograms(val)
        if self.method == "isotonic":
            self.curve = fit_isotonic(pixels, foreground)
        else:
            self.curve = fit_logistic(pixels, foreground, offset=self.method == "platt")
        nll = {"before": _nll(Logistic(), pixels, foreground), "after": _nll(self.curve, pixels, foreground)}
        with replacing(file) as path:
            path.write_text(json.dumps({"curve": asdict(self.curve), "val_nll": nll}))

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. Images are not looked at."""
        return [self._refine(probs) for probs in maps]

    def _refine(self, probs: ProbabilityMap) -> ProbabilityMap:
        calibrated = self.curve(probs.astype(np.float64))
        # Just under one half, rounding to float32 may reach it: hold it back.
        just_under = np.nextafter(np.float32(DECISION), np.float32(0))
        return np.where(calibrated >= DECISION, calibrated, np.minimum(calibrated, just_under)).astype(np.float32)


def fit_logistic(pixels: Floats, foreground: Floats, *, offset: bool) -> Logistic:
    """The slope (in `SLOPES`), and with ``offset`` the offset, of the highest likelihood.

    Args:
        pixels: float64 ``(65536,)``, weight of the pixels of each 16-bit code.
        foreground: float64 ``(65536,)``, weight of those among them that are foreground.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    logits = _logits(_values())
    total = pixels.sum()

    def objective(parameters: Floats) -> tuple[float, Floats]:
        scaled = parameters[0] * logits + parameters[1]
        excess = pixels * expit(scaled) - foreground
        nll = (pixels * np.logaddexp(0, scaled) - foreground * scaled).sum()
        return nll / total, np.array([excess @ logits, excess.sum()]) / total

    limit = float(np.abs(logits).max()) * SLOPES[1] if offset else 0.0
    # Convex in both, so that the one minimum is found from anywhere.
    options = {"ftol": 1e-15, "gtol": 1e-10}
    found = minimize(
        objective, [1.0, 0.0], jac=True, bounds=[SLOPES, (-limit, limit)], method="L-BFGS-B", options=options
    )
    return Logistic(*map(float, found.x))


def fit_isotonic(pixels: Floats, foreground: Floats) -> Isotonic:
    """The rising curve nearest to each code's share of foreground, in weighted squares. Arguments as `fit_logistic`."""
    from sklearn.isotonic import IsotonicRegression

    seen = pixels > 0
    shares = foreground[seen] / pixels[seen]
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(_values()[seen], shares, sample_weight=pixels[seen])
    return Isotonic(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))


def _histograms(val: MapDataset) -> tuple[Floats, Floats]:
    """Weights of pixels and of foreground pixels by their 16-bit code; an image's pixels together weigh 1."""
    if not len(val):
        raise UserError("no maps to calibrate on", "val", "name a dataset whose val split has images")
    pixels, foreground = np.zeros(LEVELS), np.zeros(LEVELS)
    for index in track(range(len(val)), "fit calibration"):
        sample, probs = val[index]
        codes = to_uint16(probs)
        pixels += np.bincount(codes.ravel(), minlength=LEVELS) / codes.size
        foreground += np.bincount(codes[sample.mask], minlength=LEVELS) / codes.size
    return pixels, foreground


def _nll(curve: Curve, pixels: Floats, foreground: Floats) -> float:
    """Mean negative log-likelihood, nats a pixel."""
    probs = np.clip(curve(_values()), EPSILON, 1 - EPSILON)
    return float(-(foreground * np.log(probs) + (pixels - foreground) * np.log1p(-probs)).sum() / pixels.sum())


def _values() -> Floats:
    """The probability of each code."""
    return np.arange(LEVELS) / (LEVELS - 1)


def _logits(probs: Floats) -> Floats:
    clipped = np.clip(probs, EPSILON, 1 - EPSILON)
    return np.log(clipped / (1 - clipped))
