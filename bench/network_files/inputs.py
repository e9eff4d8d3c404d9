"""An image, and a map of it, as the input of a network that somebody else made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.contracts import DECISION, Image, ProbabilityMap, UserError
from bench.images import IMAGENET_MEAN, IMAGENET_STD, resize

Divide = Literal["255", "max", "1"]
Channels = Literal["rgb", "bgr"]
Triple = tuple[float, float, float]
MapForm = Literal["probabilities", "logits", "mask"]
MapRange = Literal["1", "255", "centred"]

FINEST = 1 / 131070
"""Probabilities are held this far from 0 and 1 before their logits are taken: half a step of a map of 16 bits."""


@dataclass(frozen=True, slots=True)
class FileInput:
    """What a network's file says of one of its inputs.

    Attributes:
        name: in the file.
        sides: of its axes; 0 where the network takes any, or the file does not say.
        dtype: ``float32``, for one.
    """

    name: str
    sides: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, name: str, shape: Sequence[object], dtype: str) -> FileInput:
        """Of a shape in which whatever is no positive int is free."""
        return cls(name, tuple(side if isinstance(side, int) and side > 0 else 0 for side in shape), dtype)

    @property
    def channels(self) -> int:
        """1, 3 or 4, where the second axis or else the last has so many; 0 where it is unclear."""
        if len(self.sides) != 4:
            return 0
        return next((side for side in (self.sides[1], self.sides[3]) if side in (1, 3, 4)), 0)

    def __str__(self) -> str:
        return f"{self.dtype} {tuple(side or 'any' for side in self.sides)}".replace("'", "")


@dataclass(frozen=True, slots=True)
class PixelInput:
    """An input that takes one image, or one map, at a time.

    Attributes:
        height, width: in pixels; 0 where the network takes any.
        dtype: ``float32``, ``float16``, ``bfloat16`` or ``uint8``.
        channels_last: 1xHxWxC, and not 1xCxHxW.
    """

    height: int = 0
    width: int = 0
    dtype: str = "float32"
    channels_last: bool = False

    @classmethod
    def of(cls, found: FileInput, channels: int, what: str, where: object) -> PixelInput:
        """Read it off what the file says.

        The channel axis is the second where that holds ``channels``, else the last where that does, else the second.

        Args:
            what: goes in there, e.g. ``"RGB image"``; for errors.

        Raises:
            UserError: it takes no batch of such, or only of several at once.
        """
        sides, said = found.sides, f"its input {found.name} is {found}"
        shapes = f"1x{channels}xHxW or 1xHxWx{channels}"
        if len(sides) != 4 or found.dtype not in ("float32", "float16", "bfloat16", "uint8"):
            raise UserError(said, where, f"name a network of an {what}: {shapes}, float or uint8")
        last = sides[1] != channels and sides[3] == channels
        height, width, wanted = (sides[1], sides[2], sides[3]) if last else (sides[2], sides[3], sides[1])
        if wanted not in (0, channels) or sides[0] not in (0, 1):
            raise UserError(said, where, f"name a network of one {what} at a time: {shapes}")
        return cls(height, width, found.dtype, last)

    def target(self, size: int, shape: tuple[int, int], where: object) -> tuple[int, int]:
        """Height and width to resize to: what the network fixes, else ``size``, else (0) the image's own ``shape``.

        Raises:
            UserError: the network fixes other ones than ``size``.
        """
        fixed = (self.height, self.width)
        if size and any(side not in (0, size) for side in fixed):
            said = f"size={size}, and its input is {fixed[0] or 'any'}x{fixed[1] or 'any'}"
            raise UserError(said, where, "leave size= out")
        height, width = (side or size or own for side, own in zip(fixed, shape, strict=True))
        return height, width

    def tensor(self, *planes: np.ndarray) -> np.ndarray:
        """Planes ``(H, W, C)``, stacked in their order, as it wants them: 1xCxHxW or 1xHxWxC, contiguous."""
        stacked = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)
        return np.ascontiguousarray(stacked[None] if self.channels_last else stacked.transpose(2, 0, 1)[None])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForm:
    """How a network wants an image's values.

    Attributes:
        divide: by 255, by the resized image's largest value, or by 1 (0..255 stay).
        channels: their order.
        mean, std: per channel in that order, on the divided values.
    """

    divide: Divide = "255"
    channels: Channels = "rgb"
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    def planes(self, image: Image, height: int, width: int, dtype: str = "float32") -> np.ndarray:
        """Resize, divide, put the channels in order, normalise as ``(x - mean) / std``: float32 ``(H, W, 3)``.

        Where the network wants uint8, the resized image as it is.

        Args:
            image: uint8 ``(H, W, 3)`` RGB.
            height, width: of the result.
            dtype: of the network's input.
        """
        resized = resize(image, height, width)
        ordered = resized[..., ::-1] if self.channels == "bgr" else resized
        if dtype == "uint8":
            return ordered
        pixels = ordered.astype(np.float32)
        pixels /= max(float(pixels.max()), 1.0) if self.divide == "max" else float(self.divide)
        return (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)


def map_planes(
    probs: ProbabilityMap, height: int, width: int, *, form: MapForm, range: MapRange, dtype: str = "float32"
) -> np.ndarray:
    """A map as a network wants it: resized, float32 ``(H, W, 1)``; or uint8, 0..255, where the network wants that.

    Args:
        probs: float32 ``(h, w)`` in [0, 1].
        height, width: of the result.
        form: ``probabilities``; their ``logits``, at most 11.8 in size (`FINEST`); or the ``mask``, 1 where at least
            one half. The map is resized first.
        range: of probabilities and masks: 0..``1``, 0..``255``, or ``centred``, -1..1.
        dtype: of the network's input.
    """
    resized = np.clip(resize(probs, height, width), 0, 1)
    if form == "logits":
        return logits_of(resized)[..., None]
    values = (resized >= DECISION).astype(np.float32) if form == "mask" else resized
    if dtype == "uint8":
        return np.rint(255 * values).astype(np.uint8)[..., None]
    scaled = {"1": values, "255": 255 * values, "centred": 2 * values - 1}[range]
    return scaled.astype(np.float32)[..., None]


def logits_of(probs: ProbabilityMap) -> np.ndarray:
    """Logits of probabilities, which are held `FINEST` away from 0 and 1; any shape."""
    held = np.clip(probs.astype(np.float64), FINEST, 1 - FINEST)
    return np.log(held / (1 - held)).astype(np.float32)
