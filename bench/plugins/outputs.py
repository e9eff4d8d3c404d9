"""What a plug-in gave back, before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.contracts import ProbabilityMap, UserError
from bench.images import check_map


def taken(returned: Any, shapes: Sequence[tuple[int, ...]], where: str) -> list[ProbabilityMap]:
    """Copies of the maps that a base or a refiner returned: what it does with its own from now on changes none of them.

    A map of what it was given, or a view of it, is as good as another.

    Args:
        returned: what it returned.
        shapes: of each map, ``(H, W)``.
        where: whose it is, for errors.

    Raises:
        UserError: it is no list of so many float32 maps in [0, 1] of these shapes.
    """
    if not isinstance(returned, list | tuple) or len(returned) != len(shapes):
        got = f"{len(returned)} maps" if isinstance(returned, list | tuple) else f"{_kind(returned)}, not a list"
        raise UserError(f"returned {got} for {len(shapes)} images", where, "return a list with a map for each image")
    for probs, shape in zip(returned, shapes, strict=True):
        _check_kind(probs, shape, where)
    copies = [np.array(probs) for probs in returned]
    for probs in copies:
        check_map(probs, where)
    return copies


def unchanged(returned: Sequence[ProbabilityMap], copies: Sequence[ProbabilityMap], where: str) -> None:
    """Raise UserError where a plug-in has changed maps after it returned them: which numbers it means is unknown."""
    if not all(map(np.array_equal, returned, copies)):
        fix = "it must be done when it returns: join its threads, and give each map an array of its own"
        raise UserError("goes on changing a map that it has returned", where, fix)


def check_output(probs: ProbabilityMap, shape: tuple[int, ...], where: str) -> None:
    """Raise UserError unless a base or a refiner returned a float32 map in [0, 1] of the wanted shape."""
    _check_kind(probs, shape, where)
    check_map(probs, where)


def _check_kind(probs: Any, shape: tuple[int, ...], where: str) -> None:
    # A masked array has pixels without a value.
    plain = isinstance(probs, np.ndarray) and not isinstance(probs, np.ma.MaskedArray)
    if not plain or probs.shape != shape or probs.dtype != np.float32:
        got = f"{probs.dtype} {probs.shape}" if plain else _kind(probs)
        raise UserError(f"returned {got}, not a float32 map {shape}", where, "the plug-in must keep the map's size")


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
