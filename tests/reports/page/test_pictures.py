"""Where a mask is wrong, as a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bench.contracts import UserError
from bench.images import webp
from bench.reports.page.pictures import FALSE_NEGATIVE, FALSE_POSITIVE, errors
from tests.reports.page.stores import base_map, truth


def seen(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_right_pixels_are_clear_and_the_others_are_not() -> None:
    picture = seen(errors(webp.truth_bytes(truth()), webp.map_bytes(base_map())))
    wrong = (base_map() >= 0.5) != truth()
    assert np.array_equal(picture[..., 3] > 0, wrong)


def test_both_kinds_of_error_differ_in_colour_and_in_pattern() -> None:
    inside = np.zeros((96, 96), bool)
    inside[:48] = True
    picture = seen(errors(webp.truth_bytes(inside), webp.map_bytes((~inside).astype(np.float32))))
    missed, added = picture[:48], picture[48:]
    white = [(part[..., :3] == 255).all(-1) for part in (missed, added)]
    assert (missed[~white[0]][:, :3] == FALSE_NEGATIVE).all() and (added[~white[1]][:, :3] == FALSE_POSITIVE).all()
    # Stripes go through every row; dots leave rows free.
    assert white[1].any(1).all() and not white[0].any(1).all() and white[0].any()


def test_void_is_no_error() -> None:
    void = np.zeros(truth().shape, bool)
    void[0] = void[:, -1] = True
    assert not seen(errors(webp.truth_bytes(truth(), void), webp.map_bytes(base_map())))[..., 3].any()


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(UserError, match="two sizes"):
        errors(webp.truth_bytes(truth()), webp.map_bytes(np.zeros((4, 4), np.float32)))
