"""What happens to a training sample when it is drawn, by torchvision. Imported where a base is: it takes a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from bench.training.arrays import Batch
from bench.training.turns import TURNS, turned


def jointly(transform: Callable[[Any], Any]) -> Callable[[Batch], Batch]:
    """A torchvision v2 transform of the fields ``image`` (uint8 ``3xHxW``) and ``mask`` (bool ``1xHxW``).

    What moves pixels moves both, the mask by the nearest neighbour; what changes colours leaves the mask alone.
    """

    def apply(sample: Batch) -> Batch:
        pair = {"image": tv_tensors.Image(sample["image"]), "mask": tv_tensors.Mask(sample["mask"])}
        changed = transform(pair)
        plain = {name: value.as_subclass(type(sample["image"])) for name, value in changed.items()}
        return {**sample, **plain}

    return apply


def cropped(transform: Any | None, crop: int) -> Any | None:
    """``transform``, followed by a random square crop of side ``crop``; 0 crops nothing."""
    steps = [step for step in (transform, v2.RandomCrop(crop) if crop else None) if step]
    return v2.Compose(steps) if steps else None


class Turn(v2.Transform):
    """One of the eight flips and quarter turns of a square, each as likely."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"turn": int(torch.randint(len(TURNS), ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return tv_tensors.wrap(turned(inpt, params["turn"]), like=inpt)
