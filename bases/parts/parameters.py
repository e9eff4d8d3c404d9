"""The parameters that every trained base takes, and whether they fit together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from bench.bases.parts.framing import Framing, Interpolation
from bench.contracts import UserError
from bench.training import Recipe, read_metadata
from bench.training.encoders import EncoderWeights
from bench.training.inference import TestTime
from bench.training.recipe import Precision

RESIZED_BY = "interpolation"
"""Under which name a weights file of a training here says how its images were resized."""


@dataclass(kw_only=True)
class BaseParameters(Recipe):
    """A recipe, and what else is chosen of a trained base: weights, sizes, augmentation, how test images are seen.

    Args:
        weights: safetensors or torch file with the whole network's state, of the authors or of a training here; then
            nothing is trained. No code in it is run.
        encoder_weights: ``imagenet`` (downloaded), ``none``, or a file of the encoder's own keys.
        size: side of the square input in pixels.
        crop: side of the random crops of it that are trained on; 0, or ``size`` and more, takes it whole.
        resize: how an image becomes square: ``stretch``, or ``pad`` with zeros around it (``pad-alike``: as many on
            both sides, and an odd pixel stretched).
        interpolation: how it is resized: ``area`` (averaged where it shrinks, bilinear where it grows),
            ``cv2-bilinear``, ``pil-bilinear``. ``auto`` is ``area`` for what is trained here, also where its file is
            given as ``weights``; with a file of the network's authors it is what their code does.
        augment: ``recipe``: what the network's authors did (see `NetworkDefinition`); ``turns``: the eight flips and
            quarter turns; ``none``.
        tta: views averaged at test time: ``none``, ``flips`` (4), ``turns`` (8).
        scales: factors of the input's side averaged at test time.
        tile: at test time cut the image at its native resolution into windows of this side; 0 resizes it whole.
        overlap: least overlap of neighbouring windows, in pixels.

    Raises:
        UserError: a size does not fit the network, or two parameters do not fit each other.
    """

    multiple: ClassVar[int] = 32
    """The input's side is a multiple of this."""

    authors_interpolation: ClassVar[Interpolation] = "area"
    """What a checkpoint of the authors is fed, where ``interpolation`` does not say."""

    precision: Precision = "auto"
    weights: Path | None = None
    encoder_weights: EncoderWeights = "imagenet"
    size: int = 512
    crop: int = 0
    resize: Framing = "stretch"
    interpolation: Interpolation | Literal["auto"] = "auto"
    augment: Literal["recipe", "turns", "none"] = "recipe"
    tta: TestTime = "none"
    scales: tuple[float, ...] = (1.0,)
    tile: int = 0
    overlap: int = 32
    device: str = "cpu"
    seed: int = 0
    trainable: bool = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "crop", "tile"):
            side = getattr(self, name)
            if side % self.multiple or (name == "size" and side < self.multiple) or side < 0:
                fit = max(self.multiple, side // self.multiple * self.multiple)
                raise UserError(
                    f"{name} {side} is no multiple of {self.multiple}", f"{name}={side}", f"use {name}={fit}"
                )
        if not 0 <= self.overlap < (self.tile or self.overlap + 1):
            raise UserError(
                f"overlap {self.overlap} leaves no room in a tile of {self.tile}", f"overlap={self.overlap}", "lower it"
            )
        if not self.scales or min(self.scales) <= 0:
            raise UserError("scales must be positive", f"scales={list(self.scales)}", "write e.g. scales=[0.75,1,1.25]")
        self.trainable = self.weights is None

    @cached_property
    def resized_by(self) -> Interpolation:
        """``interpolation``, or what ``auto`` means: see there."""
        if self.interpolation != "auto":
            return self.interpolation
        return "area" if self.weights is None else _recorded(self.weights) or self.authors_interpolation

    @property
    def cropped_to(self) -> int:
        """Side of the crops that are trained on; 0 where the input is taken whole."""
        return self.crop if self.crop < self.size else 0

    def recipe(self, **changes: Any) -> Recipe:
        """The recipe alone.

        Args:
            changes: of its fields.
        """
        own = Recipe(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Recipe)})
        return dataclasses.replace(own, **changes)


def _recorded(weights: Path) -> Interpolation | None:
    """What a weights file of a training here was trained with; None of a file of others."""
    try:
        said = read_metadata(weights).get(RESIZED_BY)
    except UserError:
        return None
    return next((known for known in get_args(Interpolation) if known == said), None)
