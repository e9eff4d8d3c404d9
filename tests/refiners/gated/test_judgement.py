"""Where the gate draws its line: against brute force, and against the promise it makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.refiners.gated.judgement import HARM, Judged


class Told(Judged):
    """Predictions as given: trees play no part."""

    unseen = np.empty(0)


def told(predicted: np.ndarray, gains: np.ndarray) -> Judged:
    judged = Told(tuple(map(str, range(len(gains)))), np.zeros((len(gains), 1)), gains, 0)
    judged.__dict__["unseen"] = predicted
    return judged


@given(st.integers(2, 60), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_it_is_the_lowest_line_that_keeps_to_the_risk(count: int, risk: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, gains = rng.normal(1, 3, count).round(1), rng.normal(0, 4, count)
    line = told(predicted, gains).line(risk)

    def keeps(at: float) -> bool:
        return ((predicted >= at) & (gains < -HARM)).sum() + 1 <= risk * (count + 1) + 1e-9

    if line == np.inf:
        assert not keeps(np.inf)
        return
    assert keeps(line) and line >= 0
    assert line == 0 or not keeps(np.nextafter(line, -np.inf))


def test_images_drawn_like_vals_are_harmed_no_more_often_than_promised() -> None:
    """Mean over 400 draws of 60 val images, with predictions that are worth something."""
    rng, shares = np.random.default_rng(1), []
    for _ in range(400):
        gains = rng.normal(1, 4, 1060)
        predicted = gains + rng.normal(0, 4, 1060)
        line = told(predicted[:60], gains[:60]).line(0.1)
        shares.append(((predicted[60:] >= line) & (gains[60:] < -HARM)).mean())
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) <= 0.1 + 2 * error
    assert np.mean(shares) > 0.05  # and it is no idle promise


def test_predictions_are_of_trees_that_have_not_seen_the_image() -> None:
    """Gains that no feature explains: trees that had seen them would predict them far better than chance."""
    rng = np.random.default_rng(0)
    judged = Judged(tuple(map(str, range(80))), rng.random((80, 5)), rng.normal(size=80), 0)
    assert abs(np.corrcoef(judged.unseen, judged.gains)[0, 1]) < 0.3
    assert np.corrcoef(judged.grown().predict(judged.features), judged.gains)[0, 1] > 0.5


@pytest.mark.parametrize("release", ["this one", "an earlier one"])
def test_it_comes_back_the_same_from_its_file(release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, file = np.random.default_rng(0), tmp_path / "judged.npz"
    judged = Judged(("a", "b/c", "ü"), rng.random((3, 4)), rng.normal(size=3), 7)
    judged.save(file)
    if release == "this one":
        monkeypatch.setattr(Judged, "grown", None)  # nothing is grown to know what was known
    else:
        with np.load(file) as stored:
            known = {name: stored[name] for name in stored if name != "unseen"}
        np.savez(file, **known)
    same = Judged.load(file, 7)
    assert same.ids == judged.ids
    np.testing.assert_array_equal(same.unseen, judged.unseen)
    assert judged.line(0.1) == pytest.approx(np.inf)  # of three images nothing can be promised
