"""The measures of salient objects against PySODMetrics: 8-bit maps as it reads them, others as it takes arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bench.contracts import Mask, ProbabilityMap
from bench.metrics import mae, thresholds
from bench.metrics.curves import mean_curve, summarised
from bench.metrics.levels import as_stored, stretched
from bench.metrics.saliency import (
    AdaptiveF,
    MaxE,
    MaxF,
    MeanE,
    MeanF,
    Saliency,
    SMeasure,
    StretchedMae,
    WeightedF,
)
from tests.bench.metrics.pairs import Pair, drawn
from tests.bench.metrics.shapes import empty, full

toolbox: Any = pytest.importorskip("py_sod_metrics", reason="pysodmetrics is not installed: the test extra")

EXACT = 1e-12
MEASURES: dict[str, type[Saliency]] = {
    "maxf": MaxF,
    "meanf": MeanF,
    "adpf": AdaptiveF,
    "wf": WeightedF,
    "sm": SMeasure,
    "maxe": MaxE,
    "meane": MeanE,
}


def value(metric: Saliency, probs: ProbabilityMap, mask: Mask) -> float:
    """What a table would show of the one image."""
    return summarised(np.atleast_1d(np.asarray(metric(probs, mask))), metric.summary)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("column", MEASURES)
def test_goldens(pairs: list[Pair], column: str, normalise: bool) -> None:
    metric, before = MEASURES[column](normalise=normalise), "sod" if normalise else "sodraw"
    for pair in pairs:
        wanted = pytest.approx(pair.expected[f"{before}_{column}"], rel=0, abs=EXACT)
        assert value(metric, pair.probs, pair.mask) == wanted, pair.name


def test_goldens_of_the_stretched_error(pairs: list[Pair]) -> None:
    for pair in pairs:
        assert StretchedMae()(pair.probs, pair.mask) == pytest.approx(pair.expected["sod_mae"], rel=0, abs=EXACT)


def of_toolbox(pred: np.ndarray, mask: np.ndarray, normalise: bool) -> dict[str, np.ndarray | float]:
    """The toolbox's values, its curves from the lowest threshold to the highest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the one F-measure class that computes all is on its way out
        f = toolbox.Fmeasure(beta=0.3)
    e, s, w, error = toolbox.Emeasure(), toolbox.Smeasure(), toolbox.WeightedFmeasure(), toolbox.MAE()
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for measure in (f, e, s, w, error):
            measure.step(pred, mask, normalize=normalise)
    curves = f.get_results()["fm"]["curve"][::-1], e.get_results()["em"]["curve"][::-1]
    return {
        "maxf": curves[0],
        "maxe": curves[1],
        "adpf": f.get_results()["fm"]["adp"],
        "sm": s.get_results()["sm"],
        "wf": w.get_results()["wfm"],
        "mae": error.get_results()["mae"],
    }


def check(probs: ProbabilityMap, mask: Mask, wanted: dict[str, np.ndarray | float], normalise: bool) -> bool:
    """Whether the toolbox's S is undefined, which ours never is."""
    undefined = bool(np.isnan(wanted["sm"]))
    for name, expected in wanted.items():
        if name == "mae":
            if normalise:
                assert StretchedMae()(probs, mask) == pytest.approx(expected, rel=0, abs=EXACT)
            continue
        found = np.asarray(MEASURES[name](normalise=normalise)(probs, mask))
        if name == "maxe" and mask.size == 1:
            assert np.isnan(found).all()
        elif name == "sm" and undefined:
            assert 0 <= found <= 1
        elif name in ("maxf", "maxe", "adpf"):
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)
    return undefined


@pytest.mark.parametrize("normalise", [False, True])
def test_drawn_pairs_as_files(normalise: bool) -> None:
    undefined = 0
    for probs, mask in drawn():
        levels = np.rint(probs * 255).astype(np.uint8)
        pred, truth = (levels, 255 * mask.astype(np.uint8)) if normalise else (levels / 255, mask)
        undefined += check(probs, mask, of_toolbox(pred, truth, normalise), normalise)
    assert undefined, "no pair has the object's centre in the last row or column"


def of_all_kinds(count: int = 500) -> Iterator[tuple[ProbabilityMap, Mask]]:
    """Drawn pairs with maps of 8 and 16 bits, of other floats, saturated ones and constant ones; some objects are a
    single pixel. No array can be written to, as those of a sample."""
    random = np.random.default_rng(21)
    for number, (eight_bit, mask) in enumerate(drawn(count)):
        noisy = np.clip(0.05 + 0.9 * eight_bit + random.normal(0, 0.02, mask.shape), 0, 1)
        probs = (
            eight_bit,
            np.rint(noisy * 65535) / 65535,
            noisy,
            np.clip(4 * noisy - 1.5, 0, 1),
            np.full(mask.shape, random.random()),
            0.3 + 1e-6 * noisy,
        )[number % 6].astype(np.float32)
        if number % 7 == 0:
            mask = empty(*mask.shape)
            mask.ravel()[random.integers(mask.size)] = True
        for array in (probs, mask):
            array.setflags(write=False)
        yield probs, mask


def by_definition(probs: ProbabilityMap, normalise: bool) -> np.ndarray:
    """Levels of 16 bits, and so those of 8, exact; other floats as they are; then stretched."""
    levels = np.rint(probs.astype(np.float64) * 65535) / 65535
    pred = np.where(levels.astype(np.float32) == probs, levels, probs)
    low, high = pred.min(), pred.max()
    return (pred - low) / (high - low) if normalise and low != high else pred


@pytest.mark.parametrize("normalise", [False, True])
def test_maps_of_all_kinds(normalise: bool) -> None:
    for probs, mask in of_all_kinds():
        check(probs, mask, of_toolbox(by_definition(probs, normalise), mask, False), normalise)


@pytest.mark.parametrize("shape", [(300, 700), (701, 300)])
def test_a_background_farther_away_than_weights_tell_apart(shape: tuple[int, int]) -> None:
    probs, mask = np.random.default_rng(22).random(shape).astype(np.float32), empty(*shape)
    mask[0, :2] = mask[-1, 1] = True
    check(probs, mask, of_toolbox(by_definition(probs, False), mask, False), False)


def test_images_of_more_pixels_than_opencv_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    images = list(drawn(20))
    whole = [(MaxF()(*image), MaxE()(*image)) for image in images]
    monkeypatch.setattr(thresholds, "MOST_COUNTED", 50)
    np.testing.assert_array_equal([(MaxF()(*image), MaxE()(*image)) for image in images], whole)


@pytest.mark.parametrize("kind", [*MEASURES.values(), StretchedMae])
def test_views_of_arrays(kind: type[Saliency]) -> None:
    for probs, mask in of_all_kinds(12):
        turned, other = probs[::-1, ::-1].T, mask[::-1, ::-1].T
        wanted = kind()(np.ascontiguousarray(turned), np.ascontiguousarray(other))
        np.testing.assert_array_equal(kind()(turned, other), wanted)


def test_a_data_sets_number_is_that_of_the_mean_curve() -> None:
    """As the toolbox, given all images: which is not the mean of the images' own."""
    images = [(probs, mask) for probs, mask in drawn(40) if mask.size > 1]
    f, e = toolbox.FmeasureV2({"f": toolbox.FmeasureHandler(True, False, beta=0.3)}), toolbox.Emeasure()
    for probs, mask in images:
        for measure in (f, e):
            measure.step(np.rint(probs * 255) / 255, mask, normalize=False)
    curves = {MaxF: f.get_results()["f"]["dynamic"], MaxE: e.get_results()["em"]["curve"]}
    for kind, wanted in curves.items():
        found = mean_curve([np.asarray(kind()(probs, mask)) for probs, mask in images])
        assert summarised(found, "max") == pytest.approx(wanted.max(), rel=0, abs=EXACT)
        assert summarised(found, "mean") == pytest.approx(wanted.mean(), rel=0, abs=EXACT)
        assert summarised(found, "max") < np.mean([value(kind(), *image) for image in images])


def test_a_float_map_is_cut_where_the_threshold_says() -> None:
    """Position k is of ``p >= k / 255``, also between the levels of 8 bits."""
    probs = np.array([[0.5, 0.501, 0.3, 0.0001]], np.float32)
    mask = np.array([[True, True, False, False]])
    curve = np.asarray(MaxF()(probs, mask))
    for position in (0, 1, 76, 77, 127, 128):
        found = probs >= position / 255
        hits = (found & mask).sum()
        precision, recall = hits / max(found.sum(), 1), hits / 2
        wanted = 1.3 * precision * recall / (0.3 * precision + recall) if hits else 0
        assert curve[position] == pytest.approx(wanted), position


def test_levels_of_8_and_16_bits_are_exact_and_other_floats_as_they_are() -> None:
    for top in (255, 65535):
        levels = np.arange(top + 1)[None] / top
        assert (as_stored(levels.astype(np.float32)) == levels).all()
    odd = np.array([[0.1, 2 / 7, 1e-9, np.nextafter(np.float32(0.5), np.float32(1))]], np.float32)
    assert (as_stored(odd) == odd.astype(np.float64)).all()


def test_a_constant_map_is_not_stretched() -> None:
    constant = np.full((3, 3), 0.25, np.float32)
    assert (stretched(constant) == 0.25).all()
    assert StretchedMae()(constant, empty(3, 3)) == mae(constant, empty(3, 3)) == 0.25


def test_empty_and_full_masks() -> None:
    nothing, everything = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    for kind in (MaxF, MeanF, AdaptiveF, WeightedF):
        assert value(kind(), nothing, empty(4, 4)) == value(kind(), everything, empty(4, 4)) == 0
    assert value(SMeasure(), nothing, empty(4, 4)) == 1 and value(SMeasure(), everything, empty(4, 4)) == 0
    assert value(SMeasure(), everything, full(4, 4)) == 1
    assert value(MaxE(), nothing, empty(4, 4)) == pytest.approx(16 / 15)  # it divides by the pixels less one


def test_a_stretch_is_told_apart() -> None:
    for kind in MEASURES.values():
        plain, other = kind(), kind(normalise=True)
        assert other.title == f"{plain.title} (stretched)" and "stretched" in other.meaning
