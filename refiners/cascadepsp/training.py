"""Training CascadePSP on images and masks: random crops, their masks perturbed (specs/cascadepsp.md, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import MapDataset, UserError
from bench.refiners.cascadepsp.loss import cascade_loss
from bench.refiners.cascadepsp.network import METADATA, STRIDE, normalised, signed
from bench.refiners.cascadepsp.perturb import perturbed
from bench.training import Batch, Recipe, TrainingArrays, train

WEIGHT_DECAY = 1e-4
TARGETS = (0.8, 1.0)
"""Between which the IoU of a perturbed mask with its own is drawn."""


@dataclass(frozen=True)
class Course:
    """How long, on what and at which rate.

    Attributes:
        epochs: the state is saved after each.
        steps: an epoch's.
        batch: crops a step.
        crop: their side, a multiple of 8.
        lr: of the first step.

    Raises:
        UserError: a number is out of its range.
    """

    epochs: int
    steps: int
    batch: int
    crop: int
    lr: float

    def __post_init__(self) -> None:
        if self.crop < 2 * STRIDE or self.crop % STRIDE:
            fix = f"use a multiple of {STRIDE}, {2 * STRIDE} or more"
            raise UserError(f"a crop of {self.crop}", f"cascadepsp[crop={self.crop}]", fix)
        if self.steps < 1:
            raise UserError("steps must be at least 1", f"steps={self.steps}", "use steps=1 or more")
        self.recipe()

    def recipe(self) -> Recipe:
        """The authors' Adam, with two drops of the rate.

        They drop it after 6/12 and 10/12 of the iterations; a recipe's drops are equally far apart: 5/12 and 10/12.
        """
        return Recipe(
            epochs=self.epochs,
            batch=self.batch,
            lr=self.lr,
            weight_decay=WEIGHT_DECAY,
            schedule="step",
            drop=0.1,
            drop_after=max(1, 5 * self.epochs // 12),
            precision="auto",
        )


class Crops:
    """What a drawn sample becomes: a crop of its image, its mask, and the mask perturbed.

    Images are read at their own size when they are drawn, as the authors do: an object keeps its scale.

    Args:
        val: the images and masks; the maps are not used.
        side: of the crop; a smaller image is padded with zeros.
    """

    def __init__(self, val: MapDataset, side: int) -> None:
        from torchvision.transforms import v2

        from bench.training.augment import jointly

        self.val = val
        self.change = jointly(
            v2.Compose(
                [
                    v2.RandomCrop(side, pad_if_needed=True),
                    v2.RandomHorizontalFlip(),
                    v2.ColorJitter(brightness=0.2, contrast=0.05, saturation=0.05),
                    v2.RandomGrayscale(),
                ]
            )
        )

    def __call__(self, sample: Batch) -> Batch:
        """``index`` -> ``image`` uint8 3xSxS, ``truth`` and ``mask`` bool 1xSxS. Draws from torch's generator."""
        found, _ = self.val[int(sample["index"])]
        image = torch.from_numpy(np.array(found.image.transpose(2, 0, 1), order="C"))
        changed = self.change({"image": image, "mask": torch.from_numpy(np.array(found.mask))[None]})
        draw = np.random.default_rng(int(torch.randint(2**62, ())))
        wrong = perturbed(changed["mask"][0].numpy(), draw.uniform(*TARGETS), draw)
        return {"image": changed["image"], "truth": changed["mask"], "mask": torch.from_numpy(wrong)[None]}


def train_network(
    network: nn.Module, val: MapDataset, course: Course, *, workdir: Path, device: str, seed: int
) -> None:
    """Train in place, or resume; ends as `bench.training.train` does, with ``weights.safetensors`` in ``workdir``.

    Raises:
        UserError: val is empty, or as `bench.training.train`.
    """
    # An epoch is so many crops, however few images they are cut from: the network's state is 1 GB to save.
    count = course.steps * course.batch if len(val) else 0
    data = TrainingArrays.build(
        workdir / "arrays",
        count,
        {"index": ((), np.int64)},
        lambda number: {"index": np.asarray(number % len(val))},
        "val images",
    )
    train(
        network,
        _loss,
        data,
        course.recipe(),
        workdir=workdir,
        device=device,
        seed=seed,
        title=f"CascadePSP ({course.crop} px crops)",
        metadata=METADATA,
        augment=Crops(val, course.crop),
    )


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    outputs = network(normalised(batch["image"]), signed(batch["mask"]))
    return cascade_loss(outputs, batch["truth"].float())
