"""Oracles against hand-made patches."""

from __future__ import annotations

import numpy as np
import pytest

from bench.refiners.oracle import ImageOracle, PatchOracle

PROBS = np.array([[0.1, 0.3, 0.9, 0.8], [0.3, 0.1, 0.7, 0.6]], np.float32)
MASK = np.array([[0, 1, 1, 1], [1, 0, 0, 0]], bool)
IMAGE = np.zeros((2, 4, 3), np.uint8)


def test_each_patch_has_a_threshold_of_its_own_and_an_image_has_one() -> None:
    (patches,) = PatchOracle(patch=2).refine_knowing([IMAGE], [PROBS], [MASK])
    np.testing.assert_array_equal(patches, MASK.astype(np.float32))
    # One threshold: at 0.3, 4 of 6 predicted are right and none is missed; no other reaches 4/6.
    (whole,) = ImageOracle().refine_knowing([IMAGE], [PROBS], [MASK])
    np.testing.assert_array_equal(whole, (PROBS >= 0.3).astype(np.float32))


@pytest.mark.parametrize("oracle", [PatchOracle(), ImageOracle()])
def test_an_oracle_says_that_it_is_one(oracle: PatchOracle | ImageOracle) -> None:
    assert oracle.uses_ground_truth and not oracle.trainable
    with pytest.raises(RuntimeError, match="needs the masks"):
        oracle.refine([IMAGE], [PROBS])
