from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reports.statistics import mean_gain, mean_gains, paired_gain, recovered


def test_mean_and_lost_by_hand() -> None:
    base = np.array([0.50, 0.80, 0.90, 0.81])
    refined = np.array([0.60, 0.70, 0.90, 0.80])  # +10, -10, 0 and -1 points; the last lost no more than 1
    gain = paired_gain(refined, base)
    assert gain.mean == pytest.approx(-0.0025)
    assert gain.lost == 0.25
    assert gain.images == 4
    assert (gain.wins, gain.ties, gain.losses) == (1, 2, 1)


def test_a_point_is_neither_a_win_nor_a_loss() -> None:
    # 0.81 - 0.80 and 0.61 - 0.60 lie a little above 0.01 in binary.
    gain = paired_gain(np.array([0.81, 0.61, 0.60, 0.80]), np.array([0.80, 0.60, 0.61, 0.81]))
    assert (gain.wins, gain.ties, gain.losses) == (0, 4, 0)


def test_undefined_pairs_are_not_counted() -> None:
    gain = paired_gain(np.array([0.9, np.nan, 0.2]), np.array([0.5, 0.5, 0.5]))
    assert (gain.wins, gain.ties, gain.losses) == (1, 0, 1)


@pytest.mark.parametrize(
    ("gain", "oracle", "share"),
    [
        (0.03, 0.04, 0.75),
        (-0.02, 0.04, -0.5),
        (0.06, 0.04, 1.5),
        (0.02, 0.0009, None),
        (0.02, 0.0, None),
        (1, -1, None),
    ],
)
def test_recovered_is_a_share_of_an_oracle_that_gains(gain: float, oracle: float, share: float | None) -> None:
    assert recovered(gain, oracle) == (None if share is None else pytest.approx(share))


def test_interval_is_the_percentile_bootstrap() -> None:
    rng = np.random.default_rng(7)
    base = rng.uniform(0.5, 0.9, 80)
    refined = base + rng.normal(0.02, 0.05, 80)
    gain = paired_gain(refined, base)
    # Another generator and 200,000 resamples: the ends may differ by the noise of 9,999 resamples alone.
    picks = np.random.Generator(np.random.MT19937(1)).integers(0, 80, (200_000, 80))
    low, high = np.percentile((refined - base)[picks].mean(axis=1), [2.5, 97.5])
    assert gain.low == pytest.approx(low, abs=5e-4)
    assert gain.high == pytest.approx(high, abs=5e-4)


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    trials = 200
    covered = 0
    for _ in range(trials):
        gain = paired_gain(rng.normal(0.03, 0.1, 60), np.zeros(60))
        assert gain.low is not None and gain.high is not None
        covered += gain.low <= 0.03 <= gain.high
    # Binomial(200, 0.95) lies in here with probability above 0.999; the percentile interval runs a little short.
    assert 0.88 <= covered / trials <= 0.99


def test_same_seed_same_interval_and_another_seed_another() -> None:
    refined, base = np.random.default_rng(3).random((2, 30))
    assert paired_gain(refined, base, seed=5) == paired_gain(refined, base, seed=5)
    assert paired_gain(refined, base, seed=5).low != paired_gain(refined, base, seed=6).low


def test_one_image_has_no_interval() -> None:
    gain = paired_gain(np.array([0.7]), np.array([0.5]))
    assert (gain.low, gain.high) == (None, None)
    assert gain.mean == pytest.approx(0.2)


def test_equal_differences_are_their_own_interval() -> None:
    gain = paired_gain(np.full(5, 0.75), np.full(5, 0.5))
    assert (gain.mean, gain.low, gain.high, gain.lost) == (0.25, 0.25, 0.25, 0.0)


def test_undefined_pairs_are_left_out() -> None:
    gain = paired_gain(np.array([0.6, np.nan, 0.9, 0.5]), np.array([0.5, 0.5, np.nan, 0.5]))
    assert gain.images == 2
    assert gain.mean == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("refined", "base", "message"),
    [
        (np.zeros(2), np.zeros(3), "one shape"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), "one shape"),
        (np.array([]), np.array([]), "no image"),
        (np.array([np.nan]), np.array([0.5]), "no image"),
    ],
)
def test_wrong_input(refined: np.ndarray, base: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_gain(refined, base)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40))
def test_swapping_sides_flips_the_gain(pairs: list[tuple[float, float]]) -> None:
    refined, base = np.array(pairs).T
    there, back = paired_gain(refined, base), paired_gain(base, refined)
    assert there.mean == pytest.approx(-back.mean, abs=1e-12)
    assert there.low is not None and there.high is not None and back.low is not None and back.high is not None
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)
    slack = 1e-12
    differences = refined - base
    assert differences.min() - slack <= there.low <= there.high <= differences.max() + slack


def test_gains_that_are_computed_together_are_those_of_each() -> None:
    draw = np.random.default_rng(7)
    several = [draw.normal(0, 0.1, (30, 2)), draw.normal(0, 0.1, (1, 2)), np.full((30, 2), 0.25)]
    several += [draw.normal(0, 0.1, (size, 1)) for size in (30, 31, 30)] * 20
    several[0][3, 1] = np.nan
    groups = [np.arange(30) // 3, None, np.arange(30) // 30, *[None] * 60]
    found = list(mean_gains(zip(several, groups, strict=True)))
    assert len(found) == len(several)
    for gain, differences, numbers in zip(found, several, groups, strict=True):
        alone = mean_gain(differences, numbers)
        assert (gain.mean, gain.images, gain.wins, gain.losses, gain.groups) == (
            alone.mean,
            alone.images,
            alone.wins,
            alone.losses,
            alone.groups,
        )
        ends = [each for each in (gain.low, gain.high, gain.error) if each is not None]
        assert ends == pytest.approx([each for each in (alone.low, alone.high, alone.error) if each is not None])
