"""Ranks over bases, their intervals, and claims, with values worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from bench.contracts import UserError
from bench.reports import build
from bench.reports.figures import critical_difference
from bench.reports.ranks import ranking, sheets
from bench.reports.sheets import Sheet
from bench.store import Store
from tests.reports.stores import add

IMAGES = 30


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four bases: crf best on three of them, the filter on the fourth and second else, the base itself last."""
    store = Store(tmp_path)
    for place in range(4):
        base = np.linspace(0.3, 0.6, IMAGES) + place / 20
        gains = {"identity": 0.0, "crf": 0.10 if place else 0.01, "filter": 0.05, "ideal": 0.3}
        for name, gain in gains.items():
            add(store, name, base + gain, base=f"net{place}", uses_ground_truth=name == "ideal")
    return store


def lines(found: Sheet) -> list[dict[str, Any]]:
    return [dict(zip([field.key for field in found.fields], row, strict=True)) for row in found.rows]


def test_mean_ranks_by_hand(store: Store) -> None:
    ranks, _ = sheets(ranking(build(store)))
    rows = {row["refiner"]: row for row in lines(ranks)}
    assert list(rows) == ["crf", "filter", "identity"]  # best first, no oracle
    assert [row["rank"] for row in rows.values()] == pytest.approx([1.25, 1.75, 3.0])
    assert [row["blocks_won"] for row in rows.values()] == [3, 1, 0]
    # No image differs within a base: the blocks alone vary. All four draws with one winner: 81 and 1 of 256.
    assert (rows["crf"]["low"], rows["crf"]["high"]) == pytest.approx((1.0, 1.75))
    assert (rows["identity"]["low"], rows["identity"]["high"]) == (3.0, 3.0)
    # First where at most one draw is of the first base, half where two are.
    share = (0.75**4 + 4 * 0.25 * 0.75**3) + 0.5 * 6 * 0.25**2 * 0.75**2
    assert rows["crf"]["first"] == pytest.approx(share, abs=0.02)
    friedman = friedmanchisquare([1, 1, 1, 2], [2, 2, 2, 1], [3, 3, 3, 3])
    assert any(f"chi2 {friedman.statistic:.2f}, p {friedman.pvalue:.4f}" in remark for remark in ranks.remarks)


def test_claims_by_hand(store: Store) -> None:
    _, claims = sheets(ranking(build(store)))
    rows = {(row["better"], row["worse"]): row for row in lines(claims)}
    assert len(rows) == 3
    crf = rows["crf", "filter"]
    assert crf["difference"] == pytest.approx((3 * 0.05 - 0.04) / 4)
    # Wrong where three or four of four draws are of the first base: -0.04 outweighs 0.05 from three on.
    assert crf["wrong"] == pytest.approx(4 * 0.25**3 * 0.75 + 0.25**4, abs=0.01)
    assert rows["filter", "identity"]["wrong"] == 0.0


def test_only_refiners_of_every_block_are_ranked_and_poor_blocks_are_left_out(store: Store) -> None:
    add(store, "prn", [0.9] * IMAGES, base="net0")
    add(store, "identity", [0.5] * IMAGES, base="begun")
    ranks, _ = sheets(ranking(build(store)))
    assert "prn" not in [row["refiner"] for row in lines(ranks)]
    assert any(remark.startswith("left out") and "begun" in remark for remark in ranks.remarks)


def test_too_little_to_rank_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("identity", "crf", "filter"):
        add(store, name, [0.5, 0.6])
    with pytest.raises(UserError, match="no ranks: 1 blocks"):
        ranking(build(store))


def test_the_diagram_is_drawn(store: Store) -> None:
    found = ranking(build(store))
    assert critical_difference(found)["png"].startswith(b"\x89PNG")
    assert critical_difference(found)["pdf"].startswith(b"%PDF")
