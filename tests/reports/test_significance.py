"""Paired tests: equal to scipy's and statsmodels' on the same vectors, and families as the tables show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, wilcoxon
from statsmodels.stats.multitest import multipletests

from bench.reports import build
from bench.reports.significance import examined, holm, sheets
from bench.store import Store
from tests.reports.stores import add


def test_p_values_are_those_of_scipy_on_the_same_vector() -> None:
    rng = np.random.default_rng(0)
    for shift, size in ((0.0, 24), (0.02, 60), (-0.05, 200)):
        refined, base = rng.random((2, size))
        differences = np.where(rng.random(size) < 0.3, 0.0, 0.1 * (refined - base) + shift)
        found = examined(differences)
        assert found.wilcoxon == wilcoxon(differences, np.zeros(size), zero_method="pratt").pvalue
        other = permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(9)
        )
        assert found.permutation == pytest.approx(other.pvalue, abs=0.015)


def test_few_images_have_the_exact_permutation_test() -> None:
    # 2^5 ways to exchange five pairs; in one each way all gain.
    assert examined(np.full(5, 0.1)).permutation == pytest.approx(2 / 32)
    assert examined(np.array([0.1])).permutation == examined(np.array([0.0, 0.0, -0.1])).permutation == 1


def test_images_without_a_difference_do_not_change_the_permutation_test() -> None:
    differences = np.random.default_rng(2).normal(0.1, 1, 40)
    assert examined(np.concatenate([np.zeros(500), differences])).permutation == examined(differences).permutation


def test_the_permutation_test_of_many_images_holds_what_it_says() -> None:
    # Of differences that are symmetric about zero one p in ten is below 0.1: 20 of 200, give or take 4 standard errors.
    drawn = np.random.default_rng(3).normal(size=(200, 64))
    assert sum(examined(one).permutation < 0.1 for one in drawn) in range(20 - 17, 20 + 18)


# statsmodels collects garbage in each call, which takes a third of a second with torch loaded.
@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels_and_never_below_the_plain_p(values: list[float]) -> None:
    found = holm(values)
    assert found == pytest.approx(multipletests(values, method="holm")[1])
    assert all(corrected >= plain for corrected, plain in zip(found, values, strict=True))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_the_effect_by_hand() -> None:
    # Ranks 1, 2, 3 of the sizes; 1 and 3 gained, 2 lost: (1 + 3 - 2) / 6.
    assert examined(np.array([0.1, -0.2, 0.3, 0.0])).effect == pytest.approx(1 / 3)
    assert examined(np.zeros(4)) == examined(np.zeros(9))


def test_the_family_is_the_refiners_of_one_base_without_oracles(tmp_path: Path) -> None:
    store, rng = Store(tmp_path), np.random.default_rng(1)
    base = rng.uniform(0.4, 0.6, 120)
    gains = {"crf": 0.05, "filter": -0.05, "noise": 0.0}
    add(store, "identity", base)
    for place, (name, gain) in enumerate(gains.items()):
        add(store, name, base + rng.normal(gain, 0.1, 120), position=place)
    add(store, "ideal", base + 0.3, uses_ground_truth=True)
    add(store, "crf", base, base="other")  # has no baseline
    (found,) = sheets(build(store))
    assert found.remarks == ("family of roads, unet: crf, filter, noise",)
    rows = [dict(zip([field.key for field in found.fields], row, strict=True)) for row in found.rows]
    assert [(row["refiner"], row["said"]) for row in rows] == [
        ("crf", "better"),
        ("filter", "worse"),
        ("noise", "not shown"),
    ]
    for kind in ("wilcoxon", "permutation"):
        assert [row[f"{kind}_holm"] for row in rows] == pytest.approx(holm([float(row[kind] or 0) for row in rows]))
    assert {row["n"] for row in rows} == {120}
