"""The table's rows, in its order. A new row is a `Contest` in one of these modules' lists."""

from __future__ import annotations

from tests.benchmarks.contests import Contest
from tests.benchmarks.rows import loading, metrics, networks, pseudo_labels, saliency, scoring, workers

TABLE: list[Contest] = [
    *metrics.ROWS,
    *pseudo_labels.ROWS,
    *saliency.ROWS,
    *networks.ROWS,
    *workers.ROWS,
    *loading.ROWS,
    *scoring.ROWS,
]
