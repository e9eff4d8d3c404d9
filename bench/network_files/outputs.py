"""The output of a network that somebody else made, as a probability map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import numpy as np

from bench.contracts import ProbabilityMap, UserError

Activation = Literal["none", "sigmoid", "softmax"]
Foreground = int | tuple[int, ...] | None

ROUNDING = 0.01
"""How far outside [0, 1] a probability may lie: half precision and resizes inside a network overshoot a little."""

Values = TypeVar("Values")


def chosen_output(outputs: Mapping[str, Values], output: int | str, where: object) -> Values:
    """One of a network's outputs, by its name or else by its number from 0. Raises UserError where there is none."""
    if isinstance(output, str) and output in outputs:
        return outputs[output]
    number = int(output) if str(output).isdecimal() else -1
    if not 0 <= number < len(outputs):
        named = ", ".join(list(outputs)[:8])
        raise UserError(f"no output {output}, the network has {len(outputs)}: {named}", where, "correct output=")
    return list(outputs.values())[number]


def chosen_classes(count: int, foreground: Foreground, where: object) -> list[int]:
    """The channels that are foreground; unsaid, the only one, or the second of two.

    Raises:
        UserError: there is no such channel, or none was said and there are more than two.
    """
    if foreground is None:
        if count > 2:
            raise UserError(f"it tells {count} classes apart", where, f"say which is foreground=, 0..{count - 1}")
        return [count - 1]
    wanted = [foreground] if isinstance(foreground, int) else list(foreground)
    if not wanted or not all(0 <= index < count for index in wanted):
        raise UserError(f"no class {foreground}, the network has {count}", where, f"use foreground=0..{count - 1}")
    return wanted


def to_map(
    values: np.ndarray,
    *,
    foreground: Foreground = None,
    activation: Activation = "none",
    stretch: bool = False,
    channels_last: bool = False,
    where: object,
) -> ProbabilityMap:
    """A map, float32 ``(h, w)`` in [0, 1], of what a network gave for one image.

    Args:
        values: 1xKxhxw (1xhxwxK), with or without its axes of length one: probabilities or logits. Integers of one
            channel are class numbers, and the map is 1 where these are of the foreground.
        foreground: class or classes whose probabilities are summed; see `chosen_classes`.
        activation: what makes probabilities of ``values``; ``softmax`` is over the channels.
        stretch: min-max stretch the map to [0, 1].
        channels_last: which end the channels are at.
        where: the network, for errors.

    Raises:
        UserError: another shape, no such class, or values that are no probabilities.
    """
    planes = _planes(values, channels_last, where)
    return planes_to_map(planes, foreground=foreground, activation=activation, stretch=stretch, where=where)


def raw_plane(
    values: np.ndarray, *, foreground: Foreground = None, channels_last: bool = False, where: object
) -> np.ndarray:
    """What a network gave for one image, as it is: float32 ``(h, w)``, finite; arguments as of `to_map`.

    Raises:
        UserError: another shape, no such class, class numbers, or values that are NaN or infinite.
    """
    planes = _planes(values, channels_last, where)
    if planes.dtype.kind in "iu":
        raise UserError("its output is a map of whole numbers", where, "name another output=, or leave residual= out")
    plane = planes[chosen_classes(len(planes), foreground, where)].astype(np.float32).sum(axis=0)
    _check_finite(plane, where)
    return plane


def planes_to_map(
    planes: np.ndarray, *, foreground: Foreground, activation: Activation, stretch: bool = False, where: object
) -> ProbabilityMap:
    """As `to_map`, of ``(K, h, w)``: here no axis is guessed, so an image of one column stays one."""
    if planes.dtype.kind in "iu" and len(planes) == 1:
        return _labelled(planes[0], foreground, where)
    planes = planes.astype(np.float32)
    classes = chosen_classes(len(planes), foreground, where)
    if activation == "softmax":
        if len(planes) == 1:
            raise UserError("softmax over one channel is 1 everywhere", where, "use activation=sigmoid")
        planes = planes - planes.max(axis=0)
        np.exp(planes, out=planes)  # in place: 150 classes at an image's size are large
        planes /= planes.sum(axis=0)
    elif activation == "sigmoid":
        planes = 1 / (1 + np.exp(-np.clip(planes, -80, 80)))
    probs = planes[classes].sum(axis=0)
    low, high = float(probs.min()), float(probs.max())
    _check_finite(probs, where)
    if stretch:
        return (probs - low) / (high - low) if high > low else np.clip(probs, 0, 1)
    if activation == "none" and (low < -ROUNDING or high > 1 + ROUNDING):
        fix = "say what makes them so: activation=sigmoid, activation=softmax or stretch=true"
        raise UserError(f"its values {low:.4g}..{high:.4g} are no probabilities", where, fix)
    return np.clip(probs, 0, 1)


def _planes(values: np.ndarray, channels_last: bool, where: object) -> np.ndarray:
    """``(K, h, w)``."""
    planes = values[0] if values.ndim in (3, 4) and len(values) == 1 else values
    one = planes.ndim == 3 and planes.shape[-1] == 1 and (channels_last or len(planes) != 1)  # else 1xhx1, a column
    if planes.ndim == 3 and (one or (channels_last and len(planes) != 1)):
        planes = np.moveaxis(planes, -1, 0)
    if planes.ndim == 2 and len(planes) > 1:  # 1xK is a classifier's
        planes = planes[None]
    if planes.ndim != 3 or 0 in planes.shape:
        raise UserError(f"that output has shape {values.shape}", where, "name an output=, 1xKxHxW or 1xHxW")
    return planes


def _labelled(labels: np.ndarray, foreground: Foreground, where: object) -> ProbabilityMap:
    if foreground is None:
        raise UserError("its output is a map of class numbers", where, "say which are foreground=")
    return np.isin(labels, foreground).astype(np.float32)


def _check_finite(values: np.ndarray, where: object) -> None:
    if not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        fix = "look at what it is fed; half precision overflows sooner than float32"
        raise UserError(f"its output has {bad} NaN or infinite values", where, fix)
