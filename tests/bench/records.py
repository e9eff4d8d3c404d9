"""The columns of a record that a metric makes, for tests that compare cells."""

from __future__ import annotations

from bench.metrics.columns import COUNTS, IMAGE_METRICS

METRIC_COLUMNS = (*(metric.key for metric in IMAGE_METRICS), *COUNTS)
