"""D-LinkNet's network: a residual encoder, dilated convolutions at its bottom, and LinkNet's decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet34

from bench.training.encoders import no_such_encoder

WIDTH = 512
"""Channels of D-LinkNet34's centre."""


class Centre(nn.Module):
    """Four 3x3 convolutions in series, of dilation 1, 2, 4 and 8, each with ReLU: the sum of the input and all four.

    Their biases start at zero, as in the released code. Where the map is smaller than a dilation, the outer taps see
    zeros alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        for index, rate in enumerate((1, 2, 4, 8), start=1):
            convolution = nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate)
            nn.init.zeros_(convolution.get_parameter("bias"))
            self.add_module(f"dilate{index}", convolution)

    def forward(self, features: Tensor) -> Tensor:
        """``BxCxHxW`` -> the same shape."""
        total = features
        for convolution in self.children():
            features = F.relu(convolution(features))
            total = total + features
        return total


class DecoderBlock(nn.Module):
    """A quarter of the channels, twice the side by a transposed convolution, then the new channels."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        inner = inside // 4
        self.conv1 = nn.Conv2d(inside, inner, 1)
        self.norm1 = nn.BatchNorm2d(inner)
        self.deconv2 = nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outside, 1)
        self.norm3 = nn.BatchNorm2d(outside)

    def forward(self, features: Tensor) -> Tensor:
        """``BxIxHxW`` -> ``BxOx2Hx2W``."""
        features = F.relu(self.norm1(self.conv1(features)))
        features = F.relu(self.norm2(self.deconv2(features)))
        return F.relu(self.norm3(self.conv3(features)))


class Linked(nn.Module, ABC):
    """Centre and decoder over any encoder; a subclass says what encodes.

    Args:
        channels: of the features at strides 4, 8, 16 and 32.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.dblock = Centre(fourth)
        self.decoder4 = DecoderBlock(fourth, third)
        self.decoder3 = DecoderBlock(third, second)
        self.decoder2 = DecoderBlock(second, first)
        self.decoder1 = DecoderBlock(first, first)
        self.finaldeconv1 = nn.ConvTranspose2d(first, 32, 4, stride=2, padding=1)
        self.finalconv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.finalconv3 = nn.Conv2d(32, 1, 3, padding=1)

    @abstractmethod
    def encode(self, images: Tensor) -> Sequence[Tensor]:
        """``Bx3xHxW`` -> features at strides 4, 8, 16 and 32."""

    def forward(self, images: Tensor) -> Tensor:
        """Float ``Bx3xHxW``, sides a multiple of 32 -> logits ``Bx1xHxW``."""
        first, second, third, fourth = self.encode(images)
        features = self.decoder4(self.dblock(fourth)) + third
        features = self.decoder3(features) + second
        features = self.decoder1(self.decoder2(features) + first)
        features = F.relu(self.finalconv2(F.relu(self.finaldeconv1(features))))
        return self.finalconv3(features)


class DLinkNet34(Linked):
    """The authors' network.

    Module names are theirs, so that ``load_state_dict`` takes their checkpoint as it is.
    """

    def __init__(self) -> None:
        super().__init__((64, 128, 256, 512))
        resnet = resnet34(weights=None)
        self.firstconv, self.firstbn = resnet.conv1, resnet.bn1
        self.encoder1, self.encoder2 = resnet.layer1, resnet.layer2
        self.encoder3, self.encoder4 = resnet.layer3, resnet.layer4

    def backbone(self) -> nn.ModuleDict:
        """The encoder's parts by torchvision's names."""
        stages = {f"layer{level}": self.get_submodule(f"encoder{level}") for level in (1, 2, 3, 4)}
        return nn.ModuleDict({"conv1": self.firstconv, "bn1": self.firstbn, **stages})

    def encode(self, images: Tensor) -> Sequence[Tensor]:
        """See `Linked`."""
        levels = [F.max_pool2d(F.relu(self.firstbn(self.firstconv(images))), 3, stride=2, padding=1)]
        for stage in (self.encoder1, self.encoder2, self.encoder3, self.encoder4):
            levels.append(stage(levels[-1]))
        return levels[1:]


class DLinkNetOf(Linked):
    """The centre and the decoder over an encoder of segmentation-models-pytorch.

    An encoder whose last features are wider than D-LinkNet34's is narrowed to its width by a 1x1 convolution:
    MobileNetV2 ends in 1,280 channels, and a centre of as many would have 59 million parameters.

    Args:
        name: of the encoder.

    Raises:
        UserError: there is no such encoder.
    """

    def __init__(self, name: str) -> None:
        import segmentation_models_pytorch as smp

        try:
            encoder = smp.encoders.get_encoder(name, depth=5, weights=None)
        except (KeyError, RuntimeError, ValueError) as error:
            raise no_such_encoder(name, error) from None
        *channels, last = encoder.out_channels[2:]
        super().__init__((*channels, min(last, WIDTH)))
        self.encoder = encoder
        self.narrow: nn.Module = nn.Identity()
        if last > WIDTH:
            self.narrow = nn.Sequential(nn.Conv2d(last, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())

    def encode(self, images: Tensor) -> Sequence[Tensor]:
        """See `Linked`."""
        *levels, last = self.encoder(images)[2:]
        return [*levels, self.narrow(last)]
