"""How often intervals that promise 95 % hold the true mean: the table of docs/statistics.md.

Five kinds of paired differences, in points of IoU, from those that textbooks have to those that refiners make: most
images tie or gain a little, and a few lose much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, t

from bench.reports import resampling

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]

SIZES = (24, 50, 100, 400)
TRIALS = 2_000
BCA_TRIALS, BCA_RESAMPLES = 400, 999


def _some(share: float, of: Draw, others: Draw) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        return np.where(rng.random(shape) < share, of(rng, shape), others(rng, shape))

    return draw


def _normal(mean: float, deviation: float) -> Draw:
    return lambda rng, shape: rng.normal(mean, deviation, shape)


KINDS: dict[str, tuple[float, Draw]] = {
    "normal, 1 +- 5": (1.0, _normal(1, 5)),
    "exponential, mean 1": (1.0, lambda rng, shape: rng.exponential(1, shape)),
    "70 % tie, else 3 +- 8": (0.9, _some(0.7, _normal(0, 0), _normal(3, 8))),
    "5 % lose 30 +- 10, else 1 +- 0.5": (-0.55, _some(0.05, _normal(-30, 10), _normal(1, 0.5))),
    "4 % lose 40, else tie": (-1.6, _some(0.04, _normal(-40, 0), _normal(0, 0))),
}
"""Name -> the true mean, and how values are drawn."""


def rows(trials: int = TRIALS, bca_trials: int = BCA_TRIALS) -> Iterator[tuple[str, int, float, float, float]]:
    """Kind, number of images, and the coverage of the percentile interval, of Student's t and of BCa."""
    for place, (name, (mean, draw)) in enumerate(KINDS.items()):
        for size in SIZES:
            rng = np.random.default_rng([place, size])
            values = draw(rng, (size, trials))
            low, high = np.percentile(resampling.means(values), [2.5, 97.5], axis=0)
            reach = t.ppf(0.975, size - 1) * values.std(axis=0, ddof=1) / np.sqrt(size)
            student = np.abs(values.mean(axis=0) - mean) <= reach
            bca = np.mean([_bca(column, mean, rng) for column in values.T[:bca_trials]])
            yield name, size, float(np.mean((low <= mean) & (mean <= high))), float(student.mean()), float(bca)


def _bca(values: NDArray[np.float64], mean: float, rng: np.random.Generator) -> bool:
    if np.ptp(values) == 0:  # BCa is not defined
        return bool(values[0] == mean)
    found = bootstrap((values,), np.mean, n_resamples=BCA_RESAMPLES, method="BCa", rng=rng).confidence_interval
    return bool(found.low <= mean <= found.high)


if __name__ == "__main__":
    print("| differences | n | percentile | t | BCa |")
    print("|---|---:|---:|---:|---:|")
    for name, size, *shares in rows():
        print(f"| {name} | {size} | {' | '.join(f'{share * 100:.0f} %' for share in shares)} |")
