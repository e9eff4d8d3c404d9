"""VGG16's convolutions for the bases that stand on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from bench.training.checkpoints import fit_state


def vgg16_convolutions(channels: int = 3) -> nn.Sequential:
    """torchvision's ``vgg16().features`` without weights, and without the 124 million of its classifier.

    Args:
        channels: of the input; the further ones come after RGB.
    """
    layers = make_layers(cfgs["D"])
    if channels != 3:
        layers[0] = nn.Conv2d(channels, 64, 3, padding=1)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):  # as torchvision's VGG: 13 layers without batch norm need it
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return layers


def outputs_at(layers: nn.Sequential, image: Tensor, places: Collection[int]) -> list[Tensor]:
    """The results of the layers at these indices, in the layers' order; later layers are not run."""
    results = []
    for index, layer in enumerate(layers[: max(places) + 1]):
        image = layer(image)
        if index in places:
            results.append(image)
    return results


def load_vgg16(layers: nn.Sequential, state: Mapping[str, Tensor], where: object) -> None:
    """Load torchvision's VGG16 into what `vgg16_convolutions` made, or its first layers.

    Input channels beyond RGB begin at zero: the network begins as VGG16 of the image alone. Their gradient is not zero.

    Args:
        state: by torchvision's names (``features.0.weight``, ...); a classifier is passed over.
        where: they come from, for the error.

    Raises:
        UserError: they are of another network.
    """
    own = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    first = layers.get_parameter("0.weight")
    if "0.weight" in own and (more := first.shape[1] - 3):
        own["0.weight"] = F.pad(own["0.weight"], (0, 0, 0, 0, 0, more))
    fit_state(layers, own, where, surplus=True)
