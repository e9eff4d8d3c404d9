from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from bench.reports import resampling


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).normal(0.02, 0.05, 80)
    low, high = resampling.interval(resampling.means(values[:, None])[:, 0])
    other = bootstrap((values,), np.mean, n_resamples=100_000, method="percentile", rng=np.random.default_rng(2))
    assert (low, high) == pytest.approx(tuple(other.confidence_interval), abs=5e-4)


def test_groups_of_one_image_each_are_images() -> None:
    values = np.random.default_rng(1).random((50, 2))
    alone = resampling.means(values)
    assert resampling.means(values, np.arange(50)) == pytest.approx(alone)


def test_a_group_counts_as_often_as_it_is_drawn_with_all_of_its_images() -> None:
    values, groups = np.array([[1.0], [0.0], [0.0], [0.0]]), np.array([0, 1, 1, 1])
    # Two groups are drawn: twice the first, one of each (1 of 4 images), twice the second.
    means, counts = np.unique(resampling.means(values, groups)[:, 0], return_counts=True)
    assert means == pytest.approx([0.0, 0.25, 1.0])
    assert counts / resampling.RESAMPLES == pytest.approx([0.25, 0.5, 0.25], abs=0.02)


def test_columns_and_rows_see_the_same_draws() -> None:
    values = np.random.default_rng(3).random((40, 1))
    both = resampling.means(np.concatenate([values, 2 * values], axis=1))
    assert both[:, 1] == pytest.approx(2 * both[:, 0])
    assert resampling.means(2 * values)[:, 0] == pytest.approx(both[:, 1])


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_each_is_drawn_as_if_it_were_alone(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    sets = []
    for _ in range(data.draw(st.integers(1, 6))):
        images, groups = data.draw(st.sampled_from([5, 6])), data.draw(st.booleans())
        # Wide ones fill a batch.
        values = rng.random((images, data.draw(st.sampled_from([1, 3, 100]))))
        sets.append((values, np.arange(images) // 2 if groups else None))
    together = list(resampling.means_of_each(sets, seed=1))
    assert len(together) == len(sets)
    for found, (values, numbers) in zip(together, sets, strict=True):
        np.testing.assert_allclose(found, resampling.means(values, numbers, seed=1), rtol=1e-12)


def test_many_images_are_drawn_in_batches() -> None:
    values = np.random.default_rng(4).normal(size=(2_500, 1))  # more counts than are kept
    means = resampling.means(values)[:, 0]
    assert means.std() == pytest.approx(values.std() / 50, rel=0.05)
    assert means.mean() == pytest.approx(values.mean(), abs=0.002)


def test_seeds_add_their_own_spread() -> None:
    means = np.random.default_rng(5).normal(size=(resampling.RESAMPLES, 3)) * 0.01 + np.array([0.0, 1.0, 2.0])
    drawn = resampling.over_seeds(means)
    # A mean of three draws out of 0, 1, 2: the variance 2/3 over three.
    assert drawn.std() == pytest.approx(np.sqrt(2) / 3, rel=0.03)
    assert (
        resampling.over_seeds(means[:, :1]) is not None and (resampling.over_seeds(means[:, :1]) == means[:, 0]).all()
    )
