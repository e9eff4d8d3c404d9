"""GLNet's network: one branch for the whole image, another for its patches, each fed by the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.glnet.patches import Corner, PatchGrid
from bench.bases.glnet.pyramid import CLASSES, Backbone, Features, Place, Pyramid, convolution

Mode: TypeAlias = Literal["global", "local", "both"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""In the order of their training."""

Assembly: TypeAlias = Literal["mean", "released"]


class GLNetwork(nn.Module):
    """The network of two classes. Module names are the authors': but for the frozen copy their ``state_dict`` loads.

    In train mode the forward pass returns class logits at a quarter of the patch's side, by name: ``global``
    ``Bx2xhxw``, ``ensemble`` and ``local`` ``B*Nx2xhxw`` of N patches an image, and ``distance``, a scalar.

    Args:
        mode: ``global``: the whole image alone. ``local``: patches, with the whole image's features. ``both``: those,
            and the whole image with the patches' features; patches then read the features of a frozen copy of the
            global branch, ``resnet_fixed`` and ``fpn_fixed``, that the other modes lack.
        patch: a patch's side in pixels, and what the whole image is resized to; an image is no smaller.
        assembly: see `bench.bases.glnet.GLNet`.
        at_once: patches that go through the local branch together.
    """

    def __init__(self, mode: Mode, patch: int = 508, assembly: Assembly = "mean", at_once: int = 6) -> None:
        super().__init__()
        self.patch, self.assembly, self.at_once = patch, assembly, at_once
        self.resnet_global, self.resnet_local = Backbone(), Backbone()
        self.fpn_global, self.fpn_local = Pyramid({"": 1, "_ext": 2}), Pyramid({"": 2})
        self.ensemble_conv = convolution(1024, CLASSES)
        self.enter(mode)

    def enter(self, mode: Mode) -> None:
        """Change the mode; ``both`` copies the global branch as it is."""
        self.mode = mode
        if mode == "both":
            self.resnet_fixed, self.fpn_fixed = Backbone(), Pyramid({"": 1})
            self.load_state_dict(frozen_copy(self.state_dict()), strict=False)
            for copied in (self.resnet_fixed, self.fpn_fixed):
                copied.requires_grad_(False)

    def trained(self) -> list[nn.Parameter]:
        """The parameters that the mode's stage of training changes: its outputs depend on each."""
        parts: list[nn.Module]
        if self.mode == "global":
            parts = [self.resnet_global, *self.fpn_global.used(1)]
        elif self.mode == "local":
            parts = [self.resnet_local, self.fpn_local, self.ensemble_conv]
        else:
            parts = [self.resnet_global, *self.fpn_global.used(2), self.ensemble_conv]
        return [value for part in parts for value in part.parameters()]

    def train(self, mode: bool = True) -> GLNetwork:
        """As of any module, but the branches that the mode's stage does not change stay in eval mode."""
        super().train(mode)
        held = [self.resnet_global] if self.mode == "local" else [self.resnet_local]
        for branch in [*held, self.resnet_fixed] if self.mode == "both" else held:
            branch.eval()
        return self

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """``Bx3xSxS`` in [0, 1] -> logits ``Bx1xSxS``; in train mode see the class."""
        grid = PatchGrid(images.shape[-1], self.patch)
        small = shrunk(images, self.patch)
        if self.mode == "global":
            outputs = {"global": self.whole(small).logits}
        elif self.mode == "local":
            outputs = self.local(small, grid.cut(images), grid)
        else:
            outputs = self.both(small, grid.cut(images), grid)
        return outputs if self.training else self._assembled(outputs, grid)

    def _assembled(self, outputs: dict[str, Tensor], grid: PatchGrid) -> Tensor:
        logits = outputs["global" if self.mode == "global" else "ensemble"]
        foreground = logits[:, 1:] - logits[:, :1]
        mode = "nearest" if self.assembly == "released" else "bilinear"
        if self.mode == "global":
            return F.interpolate(foreground, (grid.size, grid.size), mode=mode)
        patches = foreground.view(-1, len(grid.corners), *logits.shape[-2:])
        return grid.assemble(patches, mode, average=self.assembly == "mean")

    def whole(self, small: Tensor) -> Features:
        """Mode 1: images ``Bx3xpxp`` -> the global branch's features and logits."""
        return self.fpn_global(self.resnet_global(small))

    def local(self, small: Tensor, patches: Tensor, grid: PatchGrid) -> dict[str, Tensor]:
        """Mode 2: images ``Bx3xpxp`` and their patches ``BxNx3xpxp`` -> ``ensemble``, ``local`` and ``distance``.

        The distance is the mean squared difference of P3 between the branches.
        """
        with torch.no_grad():
            whole = self.whole(small)
        ensemble, local, distance = [], [], []
        for index, image in enumerate(patches):
            for corners, some in self._chunks(image, grid):
                found = self._patches(some, corners, whole.of(index), grid)
                crop = grid.crop(whole.of(index).p3, corners, found.p3.shape[-2:])
                ensemble.append(self.ensemble_conv(torch.cat([found.p3, crop], 1)))
                local.append(found.logits)
                distance.append((found.p3 - crop).float().square().mean((1, 2, 3)))
        return {"ensemble": torch.cat(ensemble), "local": torch.cat(local), "distance": torch.cat(distance).mean()}

    def both(self, small: Tensor, patches: Tensor, grid: PatchGrid) -> dict[str, Tensor]:
        """Mode 3: images ``Bx3xpxp`` and their patches ``BxNx3xpxp`` -> ``ensemble`` and ``global``."""
        with torch.no_grad():
            fixed = self.fpn_fixed(self.resnet_fixed(small))
            collected = [self._collected(image, fixed.of(index), grid) for index, image in enumerate(patches)]
        # One batch again: the images' maps of each place and level.
        others = [
            [torch.cat(images) for images in zip(*levels, strict=True)]
            for levels in zip(*(places for places, _ in collected), strict=True)
        ]
        whole = self.fpn_global(self.resnet_global(small), others)
        ensemble = []
        for index, (_, p3) in enumerate(collected):
            crop = grid.crop(whole.of(index).p3, grid.corners, p3.shape[-2:])
            ensemble.append(self.ensemble_conv(torch.cat([p3, crop], 1)))
        return {"ensemble": torch.cat(ensemble), "global": whole.logits}

    def _collected(self, patches: Tensor, whole: Features, grid: PatchGrid) -> tuple[list[Place], Tensor]:
        """An image's patches ``Nx3xpxp`` -> their features merged to maps of the image, and their P3."""
        merged = [[torch.zeros_like(level) for level in place] for place in whole.places]
        p3s = []
        for corners, some in self._chunks(patches, grid):
            found = self._patches(some, corners, whole, grid)
            for totals, place in zip(merged, found.places, strict=True):
                for total, level in zip(totals, place, strict=True):
                    grid.paste(total, corners, level)
            p3s.append(found.p3)
        return [[total / grid.cover(total) for total in place] for place in merged], torch.cat(p3s)

    def _patches(self, patches: Tensor, corners: Sequence[Corner], whole: Features, grid: PatchGrid) -> Features:
        """Some patches of one image through the local branch, with what the whole image shows there."""
        c = self.resnet_local(patches)
        shown = [
            [grid.crop(level, corners, own.shape[-2:]) for level, own in zip(place, c, strict=True)]
            for place in whole.places
        ]
        return self.fpn_local(c, shown)

    def _chunks(self, patches: Tensor, grid: PatchGrid) -> list[tuple[Sequence[Corner], Tensor]]:
        step = self.at_once
        return [(grid.corners[i : i + step], patches[i : i + step]) for i in range(0, len(patches), step)]


def shrunk(images: Tensor, side: int) -> Tensor:
    """``Bx3xHxW`` in [0, 1] -> ``Bx3xsxs`` in steps of 1/255: the authors resize pictures of 8 bits with Pillow.

    Its bilinear filter smooths where it shrinks, along rows and then along columns, and rounds after each.
    """
    for size in ((images.shape[-2], side), (side, side)):
        images = F.interpolate(images, size, mode="bilinear", antialias=True).mul(255).add(0.5).floor().div(255)
    return images


def frozen_copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The global branch of a ``state_dict``, as far as it reads the whole image alone, by the frozen copy's names."""
    return {
        name.replace("_global.", "_fixed.", 1): value
        for name, value in state.items()
        if name.startswith(("resnet_global.", "fpn_global.")) and not ("_ext." in name or ".smooth." in name)
    }
