"""Scores of one prediction against its ground truth: pure functions on numpy arrays, at the mask's own size."""

from __future__ import annotations

from bench.metrics.boundary import boundary_accuracy, boundary_iou
from bench.metrics.columns import METRIC_VERSION, METRICS, score
from bench.metrics.error import mae
from bench.metrics.overlap import counts, iou, iou_dataset

__all__ = [
    "METRICS",
    "METRIC_VERSION",
    "boundary_accuracy",
    "boundary_iou",
    "counts",
    "iou",
    "iou_dataset",
    "mae",
    "score",
]
