"""SSFormer-S (Wang et al., MICCAI 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from bases.parts.trained import Origin, TrainedBase
from bench.training.encoders import load_encoder
from bench.training.optimisers import Groups
from bench.training.recipe import Optimizer, Schedule

ENCODER = "mit_b2"

CHANNELS = (64, 128, 320, 512)
"""Of the encoder's maps at strides 4, 8, 16 and 32."""

WIDTH = 256


@dataclass(kw_only=True)
class SSFormer(TrainedBase):
    """SSFormer-S: 29,572,545 parameters, of which 29,309,889 are used.

    SegFormer's MiT-B2 encoder (through segmentation-models-pytorch, under NVIDIA's Source Code License) and a decoder
    that adds one level after the other. The released code carries a fusion that nothing uses (``linear_fuse``, 262,656
    parameters): it is kept, untrained, so that a released checkpoint loads. The recipe is that code's with three
    changes: no warm-up in the first epoch, masks that stay binary when they are resized, and an end after 600 epochs of
    at most 2000, when the rate has fallen a thousandfold.

    Args:
        sigmoid: ``once``: the loss takes logits. ``released``: it takes their sigmoid for logits, as the released
            training does; the probabilities in the loss then lie between 0.5 and 0.73.

    Example:
        >>> from bases.ssformer import SSFormer
        >>> sum(parameter.numel() for parameter in SSFormer().network().parameters())
        29572545
    """

    origin: ClassVar[Origin] = Origin(
        paper="Wang et al., MICCAI 2022", code="github.com/Qiming-Huang/ssformer", licence="no licence file"
    )
    requires: ClassVar[tuple[str, ...]] = ("segmentation_models_pytorch",)

    size: int = 352
    epochs: int = 600
    batch: int = 32
    lr: float = 1e-4
    optimizer: Optimizer = "adamw"
    weight_decay: float = 0.01
    schedule: Schedule = "step"
    drop: float = 0.1
    drop_after: int = 200
    sigmoid: Literal["once", "released"] = "once"

    def network(self) -> nn.Module:
        """`SSFormerNetwork`."""
        return SSFormerNetwork()

    def pretrain(self, network: nn.Module) -> None:
        """ImageNet weights into the encoder; a file has the names of smp's ``mit_b2``, which are SegFormer's."""
        load_encoder(network.backbone, ENCODER, self.encoder_weights)

    def loss(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """Binary cross-entropy plus 1 - (2py + 1) / (p + y + 1) of each pixel.

        Args:
            outputs: logits ``Bx1xSxS``.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        logits = outputs.sigmoid() if self.sigmoid == "released" else outputs
        probs = logits.sigmoid()
        ratio = (2 * probs * mask + 1) / (probs + mask + 1)
        return F.binary_cross_entropy_with_logits(logits, mask) + (1 - ratio).mean()

    def groups(self, network: nn.Module) -> Groups:
        """All parameters but those of ``linear_fuse``, which get no gradient."""
        named = network.named_parameters()
        return [{"params": [value for name, value in named if not name.startswith("decode_head.linear_fuse.")]}]

    def augmentation(self) -> v2.Transform:
        """The released order: scale, flips, rotation, colours, and a mask that grows or shrinks at its border."""
        smooth = v2.InterpolationMode.BILINEAR
        place = (v2.RandomAffine(0, scale=(0.75, 1.25), interpolation=smooth),)
        turn = (v2.RandomRotation((0, 358), interpolation=smooth),)
        colours = (v2.ColorJitter(contrast=(1, 1.1)), Sharpness(), v2.ColorJitter(brightness=(1, 1.1)))
        return v2.Compose(
            [
                v2.RandomApply(place),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.RandomApply(turn),
                *(v2.RandomApply([change]) for change in colours),
                Border(),
            ]
        )


class SSFormerNetwork(nn.Module):
    """The network: images to logits. Module names are the authors': their ``state_dict`` loads as it is."""

    def __init__(self) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        # smp reads values of a tensor while it builds the encoder, and the meta device has none.
        device = torch.get_default_device()
        with torch.device("cpu"):
            encoder = smp.encoders.get_encoder(ENCODER, weights=None)
        self.backbone = encoder.to(device)
        self.decode_head = Decoder()

    def encode(self, images: Tensor) -> list[Tensor]:
        """Normalised ``Bx3xHxW`` -> the encoder's maps at strides 4, 8, 16 and 32."""
        maps: list[Tensor] = self.backbone(images)[2:]
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Normalised ``Bx3xHxW``, sides multiples of 32 -> logits ``Bx1xHxW``."""
        logits = self.decode_head(self.encode(images))
        return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)


class Decoder(nn.Module):
    """The progressive locality decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_c1, self.linear_c2, self.linear_c3, self.linear_c4 = map(LocalEmphasis, CHANNELS)
        self.linear_fuse = Fusion(4 * WIDTH)
        self.linear_fuse34, self.linear_fuse2, self.linear_fuse1 = (Fusion(2 * WIDTH) for _ in range(3))
        self.dropout = nn.Dropout(0.1)
        self.linear_pred = nn.Conv2d(WIDTH, 1, 1)

    def fuse(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The encoder's maps -> the fusion of the two coarsest and that of all, each ``Bx256xhxw`` at stride 4."""
        size = maps[0].shape[-2:]
        emphasis = (self.linear_c1, self.linear_c2, self.linear_c3, self.linear_c4)
        c1, c2, c3, c4 = (
            F.interpolate(step(level), size, mode="bilinear", align_corners=False)
            for step, level in zip(emphasis, maps, strict=True)
        )
        coarse = self.linear_fuse34(torch.cat([c4, c3], 1))
        middle = self.linear_fuse2(torch.cat([coarse, c2], 1))
        return coarse, self.linear_fuse1(torch.cat([middle, c1], 1))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """The encoder's maps -> logits ``Bx1xhxw`` at stride 4."""
        return self.linear_pred(self.dropout(self.fuse(maps)[1]))


class LocalEmphasis(nn.Module):
    """Two 3x3 convolutions, each with ReLU: ``BxCxhxw`` -> ``Bx256xhxw``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, WIDTH, 3, padding=1, bias=False)
        second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.proj = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(features)


class Fusion(nn.Module):
    """1x1 convolution, batch norm, ReLU: ``BxCxhxw`` -> ``Bx256xhxw``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self.bn = nn.BatchNorm2d(WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(features)))


class Sharpness(v2.Transform):
    """Sharpen the image by a factor of 1 to 1.1."""

    _transformed_types = (tv_tensors.Image,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The factor."""
        return {"factor": 1 + 0.1 * float(torch.rand(()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """An image, sharpened."""
        return v2.functional.adjust_sharpness(inpt, params["factor"])


class Border(v2.Transform):
    """Dilate the mask, erode it, or leave it, each as likely, by an ellipse of 2 to 4 pixels."""

    _transformed_types = (tv_tensors.Mask,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Which, and the ellipse's side."""
        return {"change": int(torch.randint(3, ())), "side": int(torch.randint(2, 5, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """A mask ``1xHxW``, changed."""
        change = (None, cv2.dilate, cv2.erode)[params["change"]]
        if change is None:
            return inpt
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (params["side"],) * 2)
        changed = change(inpt[0].numpy().astype(np.uint8), ellipse)
        return tv_tensors.wrap(torch.from_numpy(changed)[None].to(inpt.dtype), like=inpt)
