"""All pairs of the reference set, whose values were computed by the metrics' own authors' code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bench.contracts import Mask, ProbabilityMap
from bench.metrics import boundary_accuracy, boundary_iou, counts, iou, iou_dataset, mae, score
from tests.bench.metrics.pairs import Pair

BOTH_EMPTY = "32_emptygt_300x260"
NO_CONTOUR = {BOTH_EMPTY, "36_fullgt_512x512"}


def test_pixel_counts_are_exact(pairs: list[Pair]) -> None:
    for pair in pairs:
        tp, fp, fn = (int(pair.expected[name]) for name in ("tp", "fp", "fn"))
        assert counts(pair.probs, pair.mask) == (tp, tp + fp + fn), pair.name


@pytest.mark.parametrize(
    ("metric", "column", "tolerance"),
    [
        (iou, "iou_fg", 1e-12),
        (boundary_iou, "biou15_fg", 1e-9),
        (lambda probs, mask: boundary_iou(probs, mask, ratio=0.02), "biou002_fg", 1e-9),
        (boundary_accuracy, "mba", 1e-9),
        (mae, "mae_plain", 1e-7),
    ],
    ids=["iou", "boundary_iou", "boundary_iou_2pct", "boundary_accuracy", "mae"],
)
def test_values(
    pairs: list[Pair], metric: Callable[[ProbabilityMap, Mask], float], column: str, tolerance: float
) -> None:
    undefined = NO_CONTOUR if column == "mba" else set() if column == "mae_plain" else {BOTH_EMPTY}
    assert {pair.name for pair in pairs if np.isnan(pair.expected[column])} == undefined
    for pair in pairs:
        if pair.name not in undefined:
            wanted = pytest.approx(pair.expected[column], rel=0, abs=tolerance)
            assert metric(pair.probs, pair.mask) == wanted, pair.name


def test_where_the_peers_are_undefined_our_rules_hold(pairs: list[Pair]) -> None:
    rows = {pair.name: score(pair.probs, pair.mask) for pair in pairs if pair.name in NO_CONTOUR}
    both_empty = rows[BOTH_EMPTY]
    assert (both_empty["iou"], both_empty["boundary_iou"], both_empty["boundary_iou_2pct"]) == (1, 1, 1)
    assert all(np.isnan(row["boundary_accuracy"]) for row in rows.values())


def test_a_binarised_map_scores_like_the_map(pairs: list[Pair]) -> None:
    for pair in pairs[::5]:
        hard = score(pair.probs >= 0.5, pair.mask)
        soft = score(pair.probs, pair.mask)
        assert {**hard, "mae": 0} == pytest.approx({**soft, "mae": 0}, rel=0, abs=0, nan_ok=True), pair.name


def test_dataset_iou_of_all_pairs(pairs: list[Pair]) -> None:
    table = pd.DataFrame([pair.expected for pair in pairs])
    tp, union = int(table["tp"].sum()), int(table[["tp", "fp", "fn"]].to_numpy().sum())
    found = [counts(pair.probs, pair.mask) for pair in pairs]
    assert iou_dataset([i for i, _ in found], [u for _, u in found]) == tp / union
