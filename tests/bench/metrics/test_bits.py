"""Packed masks say what the slow definitions say, bit for bit, at every width a row of words can have."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from bench.contracts import Mask
from bench.metrics import mae
from bench.metrics.bits import Bits, Words, count, overlap
from bench.metrics.error import PIECE

WIDTHS = (1, 7, 8, 9, 62, 63, 64, 65, 127, 128, 129)
CASES = range(500)


def drawn(case: int) -> tuple[Mask, np.random.Generator]:
    """Noise of any density, blobs, or all of one value."""
    draw = np.random.default_rng(case)
    width = int(draw.choice(WIDTHS)) if case % 2 else int(draw.integers(1, 140))
    height = int(draw.integers(1, 90))
    if case % 25 == 0:  # so large that a window takes more than a word
        height, width = 230, 270
    noise = ndimage.gaussian_filter(draw.random((height, width)), draw.choice([0, 1, 3, 8]))
    return noise > np.quantile(noise, draw.choice([0, 0.02, 0.3, 0.5, 0.8, 0.98, 1.0])), draw


def pixels(words: Words, shape: tuple[int, int]) -> Mask:
    """The mask that was packed; nothing may lie behind a row's end."""
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").astype(np.bool_)
    assert not bits[:, shape[1] :].any()
    return bits[:, : shape[1]]


def square(mask: Mask, d: int) -> Mask:
    """Pixels whose whole surroundings, ``d`` to each side, lie in the mask; outside the image nothing does."""
    return ndimage.minimum_filter(mask, size=2 * d + 1, mode="constant", cval=0)


def ellipse(mask: Mask, radius: int) -> Mask:
    """Pixels with one of the mask under OpenCV's ellipse; outside the image there is none."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.bool_)
    found: Mask = ndimage.binary_dilation(mask, structure=kernel)
    return found


def test_every_case_is_packed_and_counted() -> None:
    for case in CASES:
        mask, draw = drawn(case)
        other = draw.random(mask.shape) < 0.5
        bits = Bits(mask, other)
        for words, one in zip(bits.words, (mask, other), strict=True):
            assert np.array_equal(pixels(words, mask.shape), one), case
            assert count(words) == one.sum(), case
        assert overlap(bits.words) == ((mask & other).sum(), (mask | other).sum()), case


def test_every_case_has_the_band_that_the_definition_has() -> None:
    for case in CASES:
        mask, draw = drawn(case)
        other = draw.random(mask.shape) < 0.9
        bits = Bits(mask, other)
        # Several widths share what they are made of.
        for d in map(int, [*draw.integers(1, draw.choice([4, 20, 115]), 3), 63, 64]):
            for band, one in zip(bits.inner_band(d), (mask, other), strict=True):
                wanted = one & ~square(one, d)
                assert np.array_equal(pixels(band, mask.shape), wanted), (case, d)
                assert count(band) == wanted.sum()


def test_every_case_has_the_contour_that_the_definition_has() -> None:
    for case in CASES:
        mask, draw = drawn(case)
        bits = Bits(~mask, mask)
        radii = sorted({int(radius) for radius in draw.integers(1, bits.margin + 1, 2)})
        for radius, region in zip(radii, bits.around(1, radii), strict=True):
            wanted = ellipse(mask, radius) & ellipse(~mask, radius)
            assert np.array_equal(pixels(region, mask.shape), wanted), (case, radius)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("size", [1, 129, PIECE - 1, PIECE + 1, 2 * PIECE, 3 * PIECE + 77, 9 * PIECE + 8])
def test_errors_in_pieces_sum_up_as_those_of_the_whole(size: int, dtype: type) -> None:
    draw = np.random.default_rng(size)
    probs: np.ndarray = draw.random((1, size)).astype(dtype)
    mask = draw.random((1, size)) < 0.4
    assert mae(probs, mask) == np.abs(np.subtract(probs, mask, dtype=np.float64)).mean()
