"""Scores of one prediction against its ground truth: pure functions on numpy arrays, at the mask's own size."""

from __future__ import annotations

from bench.metrics.boundary import boundary_accuracy, boundary_iou
from bench.metrics.columns import METRIC_VERSION, METRICS, score
from bench.metrics.distances import assd, hd95
from bench.metrics.error import mae
from bench.metrics.overlap import counts, dice, iou, iou_dataset, miou_fgbg, precision, recall
from bench.metrics.paths import path_shares
from bench.metrics.thin import betti_error, betti_numbers, cldice

__all__ = [
    "METRICS",
    "METRIC_VERSION",
    "assd",
    "betti_error",
    "betti_numbers",
    "boundary_accuracy",
    "boundary_iou",
    "cldice",
    "counts",
    "dice",
    "hd95",
    "iou",
    "iou_dataset",
    "mae",
    "miou_fgbg",
    "path_shares",
    "precision",
    "recall",
    "score",
]
