"""PatchRefineNet's network as its authors released it, which is not the one the paper draws.

Recurrent residual blocks stand in the place of ResNet-34's, in the encoder and in both decoders. The authors call
the three forms ThreshNetP64, P4 and P0; here the side of the local decoder's grid names them: 8, 4 and 0. Module
names are those of their state dicts (savinay95n/PatchRefineNet at 6db9315f), so that their checkpoints load.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import UserError
from bench.refiners.prn.network import STRIDE, cut, tile
from bench.training import fit_state, read_state

GRIDS = (8, 4, 0)
"""Patches a side that the local decoder sees one by one; 0 is a network without local decoder."""

SLIPPED_ROWS = (0, 1, 2, 3, 4, 5, 2, 7)
"""The row of patches that each row of ThreshNetP64 takes its skip at half resolution from."""


class Norm(nn.BatchNorm2d):
    """Batch norm that in eval mode, too, can do without its running statistics.

    Attributes:
        alone: in eval mode, normalise each sample by its own mean and variance, as train mode does a batch of one.
    """

    alone = False

    def forward(self, features: Tensor) -> Tensor:
        """``BxCxHxW`` -> the same shape."""
        if self.alone and not self.training:
            return F.instance_norm(features, weight=self.weight, bias=self.bias, eps=self.eps)
        return super().forward(features)


class Recurrent(nn.Module):
    """A 3x3 convolution with batch norm and ReLU, three times over: of the input, then of input plus last result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), Norm(channels), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        once = self.conv(features)
        twice = self.conv(features + once)
        return self.conv(features + twice)


class RecurrentResidual(nn.Module):
    """A 1x1 convolution to the new width, and two `Recurrent` around a shortcut; rows and columns are kept."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.RCNN = nn.Sequential(Recurrent(outside), Recurrent(outside))
        self.Conv_1x1 = nn.Conv2d(inside, outside, 1)

    def forward(self, features: Tensor) -> Tensor:
        widened = self.Conv_1x1(features)
        return widened + self.RCNN(widened)


class PyramidPooling(nn.Module):
    """Averages over 1, 2x2, 4x4 and 8x8 regions, put before the features and mixed with them; shape is kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), nn.Conv2d(channels, channels, 1, bias=False))
            for bins in (1, 2, 4, 8)
        )
        self.bottleneck = nn.Conv2d(5 * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        size = features.shape[-2:]
        pooled = [F.interpolate(stage(features), size, mode="bilinear", align_corners=False) for stage in self.stages]
        return F.relu(self.bottleneck(torch.cat([*pooled, features], dim=1)))


class Encoder(nn.Module):
    """Four `RecurrentResidual` at strides 1, 2, 4 and 8, a maximum of 2x2 pixels between them; the last is pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.RRCNN1 = RecurrentResidual(1, 32)
        self.RRCNN2 = RecurrentResidual(32, 64)
        self.RRCNN3 = RecurrentResidual(64, 128)
        self.RRCNN4 = RecurrentResidual(128, 256)
        self.psp = PyramidPooling(256)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """``Bx1xSxS`` -> ``Bx32*2^i x S/2^i x S/2^i`` for i = 0..3."""
        levels = [self.RRCNN1(maps)]
        for block in (self.RRCNN2, self.RRCNN3, self.RRCNN4):
            levels.append(block(F.max_pool2d(levels[-1], 2)))
        return [*levels[:-1], self.psp(levels[-1])]


class AttentionGate(nn.Module):
    """Attention U-Net's additive gate: the decoder's features say where to let the skip connection through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.W_g = nn.Sequential(nn.Conv2d(channels, inner, 1), Norm(inner))
        self.W_x = nn.Sequential(nn.Conv2d(channels, inner, 1), Norm(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), Norm(1), nn.Sigmoid())

    def forward(self, decoded: Tensor, skip: Tensor) -> Tensor:
        return skip * self.psi(F.relu(self.W_g(decoded) + self.W_x(skip)))


class DecoderStep(nn.Module):
    """Twice the side, half the channels, and the gated skip connection mixed in.

    Args:
        channels: of the skip connection and of the result; the input has twice as many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        double = nn.Upsample(scale_factor=2.0, mode="nearest")
        convolution = nn.Conv2d(2 * channels, channels, 3, padding=1)
        steps = nn.Sequential(double, convolution, Norm(channels), nn.ReLU())
        self.Up = nn.Sequential(OrderedDict(up=steps))
        self.Up_Conv = RecurrentResidual(2 * channels, channels)
        self.Attn = AttentionGate(channels)

    def forward(self, decoded: Tensor, skip: Tensor) -> Tensor:
        decoded = self.Up(decoded)
        return self.Up_Conv(torch.cat([self.Attn(decoded, skip), decoded], dim=1))


class ReleasedNetwork(nn.Module):
    """ThreshNetP64, ThreshNetP4 or ThreshNetP0: a map to two maps of logits, or to one.

    In eval mode it computes what the released code does in its eval mode, and after `normalise_alone` what it does in
    its train mode, which its prediction never leaves. In train mode it does not: that code sends the patches through
    the local decoder one by one, with batch norm's statistics of one patch; here they are one batch.
    Training starts from PyTorch's default weights.

    Args:
        grid: 8 for ThreshNetP64, 4 for ThreshNetP4 (4x4 patches, despite its name), 0 for ThreshNetP0.
        row_slip: reproduce a slip of ThreshNetP64's indices: the seventh row of patches takes its skip at half
            resolution from the third row (rows 64:96 instead of 192:224 at 512 pixels), and so at every size. Needed to
            compute what the authors' code does with their checkpoint. Only with ``grid=8``.

    Raises:
        UserError: there is no such grid, or it has no row slip.

    Example:
        >>> network = ReleasedNetwork(grid=4).eval()
        >>> with torch.inference_mode():
        ...     [tuple(logits.shape) for logits in network(torch.rand(2, 1, 32, 32))]
        [(2, 1, 32, 32), (2, 1, 32, 32)]
    """

    def __init__(self, grid: int = 8, row_slip: bool = False) -> None:
        super().__init__()
        if grid not in GRIDS:
            raise UserError(f"no released network has a grid of {grid}", f"prn-released[grid={grid}]", "use 8, 4 or 0")
        if row_slip and grid != 8:
            raise UserError("only the network of 8x8 patches has a row slip", "row_slip=True", "use grid=8 or leave it")
        self.grid, self.row_slip = grid, row_slip
        self.encoding = Encoder()
        for branch in ("global", "local")[: 2 if grid else 1]:
            for level, channels in ((3, 128), (2, 64), (1, 32)):
                self.add_module(f"decode{level}_{branch}", DecoderStep(channels))
            kernel = 3 if grid else 1
            self.add_module(head_name(grid, branch), nn.Sequential(nn.Conv2d(32, 1, kernel, padding=kernel // 2)))

    @property
    def multiple(self) -> int:
        """What the side of a map must be a multiple of."""
        return STRIDE * max(1, self.grid)

    def normalise_alone(self) -> None:
        """In eval mode from now on, take batch norm's statistics of each map alone, in the local decoder each patch.

        Running statistics are then neither looked at nor changed. Maps need 16 pixels a side: at stride 8 one value
        has no variance.
        """
        for module in self.modules():
            if isinstance(module, Norm):
                module.alone = True

    def encode(self, maps: Tensor) -> list[Tensor]:
        """``Bx1xSxS`` in [0, 1] -> features at strides 1, 2, 4 and 8, the last pooled.

        Raises:
            ValueError: S is not a `multiple`.
        """
        if maps.shape[-2] % self.multiple or maps.shape[-1] % self.multiple:
            raise ValueError(f"a map of {maps.shape[-2]}x{maps.shape[-1]}: both must be multiples of {self.multiple}")
        return self.encoding(maps)

    def decode_whole(self, levels: list[Tensor]) -> Tensor:
        """Features -> the global branch's logits ``Bx1xSxS``."""
        return self._decode(levels, "global")

    def decode_local(self, levels: list[Tensor]) -> Tensor:
        """Features -> the local branch's logits ``Bx1xSxS``. All patches make one batch: nothing crosses a border."""
        patches = [cut(level, self.grid) for level in levels]
        if self.row_slip:
            rows = patches[1].unflatten(0, (-1, self.grid, self.grid))
            patches[1] = rows[:, list(SLIPPED_ROWS)].flatten(0, 2)
        return tile(self._decode(patches, "local"), self.grid)

    def _decode(self, levels: list[Tensor], branch: str) -> Tensor:
        decoded = levels[-1]
        for level in (3, 2, 1):
            decoded = self.get_submodule(f"decode{level}_{branch}")(decoded, levels[level - 1])
        return self.get_submodule(head_name(self.grid, branch))(decoded)

    def forward(self, maps: Tensor) -> tuple[Tensor, ...]:
        """``Bx1xSxS`` probabilities -> logits ``Bx1xSxS`` of the global and, with a grid, of the local branch."""
        levels = self.encode(maps)
        whole = self.decode_whole(levels)
        return (whole, self.decode_local(levels)) if self.grid else (whole,)


def head_name(grid: int, branch: str) -> str:
    """The authors' name for a branch's last convolution. ThreshNetP4 has another one than the other two."""
    return f"conv_last_{branch}" if grid == 4 else f"out_{branch}"


def grid_of(state: dict[str, Tensor]) -> int | None:
    """The grid of the network that a state dict's names belong to; None where they are of none."""
    if "conv_last_global.0.weight" in state:
        return 4
    if "out_global.0.weight" in state:
        return 8 if "out_local.0.weight" in state else 0
    return None


def load_released(path: Path, grid: int | None = None, row_slip: bool = False) -> ReleasedNetwork:
    """The network in eval mode, with weights of the authors or of a training of ours.

    Args:
        path: ``.safetensors``, or a torch file of a plain state dict such as the authors' ``p64_weights.th``; no code
            in it is run. A prefix ``module.`` is dropped, ``num_batches_tracked`` may be missing.
        grid: which network the file must hold; None takes the one that its names belong to.
        row_slip: see `ReleasedNetwork`.

    Raises:
        UserError: the file is missing, unreadable, or of another network.
    """
    state = read_state(path)
    found = grid_of(state)
    network = ReleasedNetwork((8 if found is None else found) if grid is None else grid, row_slip)
    fix = "name a file made for this one" if found in (None, network.grid) else f"with this file use grid={found}"
    fit_state(network, state, path, fix=fix)
    return network.eval()
