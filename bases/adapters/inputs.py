"""An image as the input of a network that somebody else made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.contracts import Image, UserError
from bench.images import IMAGENET_MEAN, IMAGENET_STD, resize

Divide = Literal["255", "max", "1"]
Channels = Literal["rgb", "bgr"]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ImageInput:
    """What a network's file says of its input.

    Attributes:
        height, width: in pixels; 0 where the network takes any.
        dtype: ``float32``, ``float16``, ``bfloat16`` or ``uint8``.
        channels_last: 1xHxWx3, and not 1x3xHxW.
    """

    height: int = 0
    width: int = 0
    dtype: str = "float32"
    channels_last: bool = False

    @classmethod
    def of(cls, shape: Sequence[object], dtype: str, where: object) -> ImageInput:
        """Read it off a shape of four axes, in which whatever is no positive int is free.

        The channel axis is the second where that holds 3, else the last where that holds 3, else the second.

        Raises:
            UserError: the input is no batch of RGB images, or only of several at once.
        """
        sides = [side if isinstance(side, int) and side > 0 else 0 for side in shape]
        said = f"its input is {dtype} {tuple(side or 'any' for side in sides)}".replace("'", "")
        if len(sides) != 4 or dtype not in ("float32", "float16", "bfloat16", "uint8"):
            raise UserError(said, where, "name a network of RGB images: 1x3xHxW or 1xHxWx3, float or uint8")
        last = sides[1] != 3 and sides[3] == 3
        height, width, channels = (sides[1], sides[2], sides[3]) if last else (sides[2], sides[3], sides[1])
        if channels not in (0, 3) or sides[0] not in (0, 1):
            raise UserError(said, where, "export it again for one RGB image at a time: 1x3xHxW or 1xHxWx3")
        return cls(height, width, dtype, last)

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


def prepared(
    image: Image,
    height: int,
    width: int,
    *,
    divide: Divide = "255",
    channels: Channels = "rgb",
    mean: Triple = IMAGENET_MEAN,
    std: Triple = IMAGENET_STD,
) -> np.ndarray:
    """Resize, divide, put the channels in order, normalise as ``(x - mean) / std``: float32 ``(H, W, 3)``.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        height, width: of the result.
        divide: by 255, by the resized image's largest value, or by 1 (0..255 stay).
        channels: the order of the result.
        mean, std: per channel in that order, on the divided values.
    """
    pixels = resize(image, height, width).astype(np.float32)
    pixels /= max(float(pixels.max()), 1.0) if divide == "max" else float(divide)
    ordered = pixels[..., ::-1] if channels == "bgr" else pixels
    return (ordered - np.array(mean, np.float32)) / np.array(std, np.float32)
