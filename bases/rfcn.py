"""Recurrent fully convolutional network for saliency (Wang et al., ECCV 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from bases.parts.saliency_prior import Prior, SaliencyPrior
from bases.parts.trained import Origin, TrainedBase
from bases.parts.vgg import load_vgg16, outputs_at, vgg16_convolutions
from bench.contracts import UserError
from bench.training.checkpoints import fit_state
from bench.training.encoders import imagenet_state
from bench.training.optimisers import Groups
from bench.training.recipe import Schedule

POOL3, POOL4, POOL5 = 16, 23, 30
"""VGG16's layers whose results FCN-8s reads."""

CONV3, CONV4, CONV5 = 15, 22, 29
"""VGG16's layers whose results the light network reads: the last ReLU before each of those."""

Variant = Literal["8s", "lite"]


class Fcn8sDecoder(nn.Module):
    """FCN-8s's scores of three levels, upsampled by learned deconvolutions that begin bilinear.

    Paddings are such that input and output share their centre at every level: nothing is cropped.

    Args:
        channels: of the levels, strides 8, 16 and 32.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.score_pool3 = nn.Conv2d(channels[0], 2, 1)
        self.score_pool4 = nn.Conv2d(channels[1], 2, 1)
        self.score = nn.Conv2d(channels[2], 2, 1)
        self.upscore2 = _deconvolution(2)
        self.upscore_pool4 = _deconvolution(2)
        self.upscore8 = _deconvolution(8)

    def forward(self, level3: Tensor, level4: Tensor, level5: Tensor) -> Tensor:
        """Levels of ``S/8``, ``S/16`` and ``S/32`` -> scores ``Bx2xSxS`` of background and foreground."""
        scores = self.upscore2(self.score(level5)) + self.score_pool4(level4)
        scores = self.upscore_pool4(scores) + self.score_pool3(level3)
        return self.upscore8(scores)


class Fcn8s(nn.Module):
    """FCN-8s on VGG16 with a fourth input channel; 134,272,006 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16_convolutions(4)
        self.fc6 = nn.Conv2d(512, 4096, 7, padding=3)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.decoder = Fcn8sDecoder((256, 512, 4096))

    def forward(self, image: Tensor) -> Tensor:
        """RGB and prior ``Bx4xSxS``, S a multiple of 32 -> foreground logits ``Bx1xSxS``."""
        level3, level4, level5 = outputs_at(self.features, image, (POOL3, POOL4, POOL5))
        level5 = F.dropout(F.relu(self.fc6(level5)), 0.5, self.training)
        level5 = F.dropout(F.relu(self.fc7(level5)), 0.5, self.training)
        background, foreground = self.decoder(level3, level4, level5).split(1, dim=1)
        return foreground - background


class FcnLiteDecoder(nn.Module):
    """One score from three levels of one size, the upper one first; nothing but 1x1 convolutions between them."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce3, self.reduce4, self.reduce5 = (nn.Conv2d(channels, 32, 1) for channels in (256, 512, 512))
        self.score5, self.score4, self.score3 = (nn.Conv2d(channels, 1, 1) for channels in (32, 33, 33))

    def forward(self, level3: Tensor, level4: Tensor, level5: Tensor) -> Tensor:
        """Levels of ``S/4`` -> foreground logits ``Bx1xSxS``."""
        logits = self.score5(self.reduce5(level5))
        logits = self.score4(torch.cat([self.reduce4(level4), logits], 1))
        logits = self.score3(torch.cat([self.reduce3(level3), logits], 1))
        return F.interpolate(logits, scale_factor=4, mode="nearest")


class FcnLite(nn.Module):
    """VGG16 at stride 4, a fourth input channel, and 41,157 parameters on top of it; 14,756,421 in all."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16_convolutions(4)[:POOL5]
        for pool in (POOL3, POOL4):
            self.features[pool] = nn.Identity()
        for dilation, first in ((2, POOL3 + 1), (4, POOL4 + 1)):
            for convolution in self.features[first : first + 6 : 2]:
                assert isinstance(convolution, nn.Conv2d)
                convolution.dilation = convolution.padding = (dilation, dilation)
        self.decoder = FcnLiteDecoder()

    def forward(self, image: Tensor) -> Tensor:
        """RGB and prior ``Bx4xSxS``, S a multiple of 4 -> foreground logits ``Bx1xSxS``."""
        return self.decoder(*outputs_at(self.features, image, (CONV3, CONV4, CONV5)))


class RecurrentFcn(nn.Module):
    """One network, run several times: on the image and a saliency prior, then on the image and its own last map.

    Args:
        variant: `Fcn8s` or `FcnLite`.
        steps: how many times.
        prior: of the first step.
        mean, std: of the images' normalisation.
    """

    def __init__(
        self, variant: Variant, steps: int, prior: Prior, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.steps = steps
        self.prior = SaliencyPrior(prior, mean, std)
        self.step: Fcn8s | FcnLite = Fcn8s() if variant == "8s" else FcnLite()

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """``Bx3xSxS``, S a multiple of 32 -> the last step's logits ``Bx1xSxS``; in train mode all steps', last first.

        The gradient of a step passes through the map it was fed to the steps before it.
        """
        fed, outputs = self.prior(image), list[Tensor]()
        for _ in range(self.steps):
            logits = self.step(torch.cat([image, fed], 1))
            fed = logits.sigmoid()
            outputs.insert(0, logits)
        return tuple(outputs) if self.training else outputs[0]


def _deconvolution(stride: int) -> nn.ConvTranspose2d:
    """Two channels, ``stride`` times the side; begins as bilinear interpolation (``align_corners=False``)."""
    layer = nn.ConvTranspose2d(2, 2, 2 * stride, stride, padding=stride // 2, bias=False)
    line = 1 - ((torch.arange(2 * stride) + 0.5) / stride - 1).abs()
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(2):
            layer.weight[channel, channel].copy_(line[:, None] * line)
    return layer


@dataclass(kw_only=True)
class Rfcn(TrainedBase):
    """Recurrent fully convolutional network for saliency: 134,272,006 parameters.

    The paper's layers are not to be had: this is FCN-8s on VGG16 with the saliency prior as fourth channel, run twice
    with shared weights. Its two scores, background and foreground, are given out as their difference.
    ``variant="lite"`` is a third party's network for the same idea (LarT2P/RFCN; 14,756,421 parameters, stride 4,
    one score).

    The paper's pre-training on VOC 2010's 20 classes (and its output of 23 channels) is left out for ImageNet's VGG16:
    fc6 and fc7 come from its classifier, the fourth channel begins at zero. So is its post-processing by colour
    and place: a refiner wants the map. The paper averages three scales it does not name: ``scales=[0.75,1,1.25]``.
    The optimiser is the third party's (Adam, tenfold in the decoder, batch 1, 20 epochs), as the paper's rates are
    unknown.

    Args:
        variant: ``8s`` or ``lite``.
        steps: runs of the network, in training and at test time; the third party trains with 3 and tests with 1.
        prior: fed to the first run: ``contrast`` (see `SaliencyPrior`), ``centre`` or ``none``, zeros.

    Example:
        >>> from bases.rfcn import Rfcn
        >>> sum(parameter.numel() for parameter in Rfcn(variant="lite").network().parameters())
        14756421
    """

    origin: ClassVar[Origin] = Origin(
        paper="Wang et al., ECCV 2016", code="github.com/LarT2P/RFCN (a third party's, of lite)", licence="MIT"
    )

    size: int = 256
    epochs: int = 20
    batch: int = 1
    lr: float = 1e-4
    schedule: Schedule = "constant"
    variant: Variant = "8s"
    steps: int = 2
    prior: Prior = "contrast"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise UserError("the network runs at least once", f"steps={self.steps}", "use steps=2")

    def network(self) -> RecurrentFcn:
        """See `RecurrentFcn`."""
        return RecurrentFcn(self.variant, self.steps, self.prior, self.preprocessing.mean, self.preprocessing.std)

    def pretrain(self, network: nn.Module) -> None:
        """VGG16's convolutions; for FCN-8s also the two hidden layers of its classifier, if the weights hold them."""
        assert isinstance(network, RecurrentFcn)
        state = imagenet_state("vgg16", self.encoder_weights)
        if state is None:
            return
        where = f"encoder_weights={self.encoder_weights}"
        load_vgg16(network.step.features, state, where)
        if isinstance(network.step, Fcn8s) and {"classifier.0.weight", "classifier.3.weight"} <= state.keys():
            for layer, index in ((network.step.fc6, 0), (network.step.fc7, 3)):
                prefix = f"classifier.{index}."
                own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                # A fully connected layer is a kernel as large as the whole last feature map.
                if own["weight"].numel() == layer.weight.numel():
                    own["weight"] = own["weight"].reshape(layer.weight.shape)
                fit_state(layer, own, where)

    def groups(self, network: nn.Module) -> Groups:
        """Ten times the rate in the decoder."""
        assert isinstance(network, RecurrentFcn)
        decoder = list(network.step.decoder.parameters())
        inside = {id(parameter) for parameter in decoder}
        rest = [parameter for parameter in network.parameters() if id(parameter) not in inside]
        return [{"params": rest}, {"params": decoder, "lr": 10 * self.lr}]

    def loss(self, outputs: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Cross-entropy of every step, summed.

        Args:
            outputs: logits ``Bx1xSxS`` of each step.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        return torch.stack([F.binary_cross_entropy_with_logits(logits, mask) for logits in outputs]).sum()

    def augmentation(self) -> Any:
        """Flipped from left to right; no source says."""
        return v2.RandomHorizontalFlip()
