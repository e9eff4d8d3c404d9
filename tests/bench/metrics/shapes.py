"""Masks and maps for the tests, and hypothesis strategies for them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.contracts import Mask, ProbabilityMap

SIDES = st.tuples(st.integers(1, 24), st.integers(1, 24))

UNHURRIED = settings(deadline=None)
"""For every property test: a busy machine is no failure."""

MaskPair: TypeAlias = tuple[Mask, Mask]


def empty(height: int, width: int) -> Mask:
    return np.zeros((height, width), dtype=bool)


def full(height: int, width: int) -> Mask:
    return np.ones((height, width), dtype=bool)


@st.composite
def blobs(draw: st.DrawFn, shape: tuple[int, int]) -> Mask:
    """Rectangles put down and cut out, some over the border: solid enough to have a core after erosion."""
    mask = empty(*shape)
    for _ in range(draw(st.integers(0, 4))):
        rows = sorted(draw(st.tuples(*[st.integers(0, shape[0])] * 2)))
        columns = sorted(draw(st.tuples(*[st.integers(0, shape[1])] * 2)))
        mask[slice(*rows), slice(*columns)] = draw(st.booleans())
    return mask


@st.composite
def mask_pairs(draw: st.DrawFn) -> MaskPair:
    """Two masks of one shape, each either blobs or noise."""
    shape = draw(SIDES)
    one = st.one_of(blobs(shape), hnp.arrays(np.bool_, shape))
    return draw(one), draw(one)


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[ProbabilityMap, Mask]:
    shape = draw(SIDES)
    values = st.integers(0, 255).map(lambda level: level / 255)
    return draw(hnp.arrays(np.float32, shape, elements=values)), draw(hnp.arrays(np.bool_, shape))
