"""What a metric accepts, checked in one place; every error says what was expected and what came."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Mask

Prediction: TypeAlias = NDArray[np.bool_] | NDArray[np.floating[Any]]
"""``(H, W)``: a bool mask, or a probability map of any float dtype in [0, 1]."""


def checked(pred: Prediction, mask: Mask) -> None:
    """Refuse what could only be scored by guessing.

    Integer arrays are refused because 1 may mean foreground or 1/255.

    Args:
        pred: ``(H, W)``, bool, or float in [0, 1].
        mask: ``(H, W)`` bool, the ground truth, at least one pixel.

    Raises:
        ValueError: another type, dtype, shape or range, NaN included.
    """
    _check_array("mask", mask)
    if mask.dtype != np.bool_:
        raise ValueError(f"expected mask to be bool, got {mask.dtype}: binarise it first")
    _check_array("pred", pred)
    if pred.shape != mask.shape:
        raise ValueError(f"expected pred to have the mask's shape {mask.shape}, got {pred.shape}")
    if pred.dtype == np.bool_:
        return
    if not np.issubdtype(pred.dtype, np.floating):
        raise ValueError(f"expected pred to be a bool mask or a float map in [0, 1], got {pred.dtype}")
    if _is_plainly_in_range(pred):
        return
    low, high = float(pred.min()), float(pred.max())
    if np.isnan(low):
        raise ValueError("expected pred to be a float map in [0, 1], got NaN in it")
    if low < 0 or high > 1:
        raise ValueError(f"expected pred to be a float map in [0, 1], got values from {low:g} to {high:g}")


def _is_plainly_in_range(pred: Prediction) -> bool:
    """In one pass over bits: those of floats from 0 to 1 are whole numbers up to those of 1; False says nothing yet."""
    bits = f"u{pred.dtype.itemsize}"
    if not pred.dtype.isnative or pred.dtype.itemsize > 8:
        return False
    return bool(pred.view(bits).max() <= np.ones(1, pred.dtype).view(bits)[0])


def binarised(pred: Prediction, mask: Mask) -> Mask:
    """The checked prediction as a bool ``(H, W)`` mask: a map is foreground where it is ``>= DECISION``.

    Raises:
        ValueError: see `checked`.
    """
    checked(pred, mask)
    return decided(pred)


def decided(pred: Prediction) -> Mask:
    """`binarised` of what has been checked."""
    return pred.astype(np.bool_, copy=False) if pred.dtype == np.bool_ else pred >= DECISION


def cleared(pred: Prediction, mask: Mask, ignore: Mask | None) -> tuple[Mask, Mask]:
    """Prediction and ground truth as bool ``(H, W)`` with the void pixels as background in both.

    So a prediction that runs into void ends there, as the ground truth does: neither the overlap nor the contour of
    either is charged for what lies in it.

    Raises:
        ValueError: as `checked`, of ``ignore`` too.
    """
    found = binarised(pred, mask)
    if ignore is not None:
        check_ignore(ignore, mask)
    return without_void(found, mask, ignore)


def without_void(found: Mask, mask: Mask, ignore: Mask | None) -> tuple[Mask, Mask]:
    """`cleared` of what has been checked and binarised."""
    return (found, mask) if ignore is None else (found & ~ignore, mask & ~ignore)


def check_ignore(ignore: Mask, mask: Mask) -> None:
    """Refuse void pixels that are no bool ``(H, W)`` of the mask's shape. Raises ValueError."""
    _check_array("ignore", ignore)
    if ignore.dtype != np.bool_ or ignore.shape != mask.shape:
        raise ValueError(f"expected ignore to be bool {mask.shape}, got {ignore.dtype} {ignore.shape}")


def _check_array(name: str, array: object) -> None:
    if not isinstance(array, np.ndarray):
        raise ValueError(f"expected {name} to be a numpy array, got {type(array).__name__}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"expected {name} to be (H, W) with at least one pixel, got shape {array.shape}")
