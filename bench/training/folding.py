"""A trained network made ready for inference: the same function, in fewer passes over memory."""

from __future__ import annotations

import copy
import itertools
from typing import Literal, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Precision = Literal["float32", "bf16"]
"""What a network's convolutions multiply in; they add up in float32 in both."""

Network = TypeVar("Network", bound=nn.Module)


def lowered(device: str, precision: Precision) -> torch.autocast:
    """With ``bf16``, run a network under this: by PyTorch's autocast. With ``float32`` it changes nothing."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def folded(network: Network) -> Network:
    """A copy in eval mode whose batch norms are folded into the convolutions before them; equal to rounding.

    A norm is folded where it follows a convolution among a module's children, in the order in which they were assigned:
    the module must call the two one after the other. Subclasses of `nn.BatchNorm2d` may do more, and stay.

    Args:
        network: trained. It is not changed, and shares nothing with the copy.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
        >>> folded(network)
        Sequential(
          (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
        )
    """
    ready = copy.deepcopy(network).eval().requires_grad_(False)
    for module in ready.modules():
        for (first, convolution), (second, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(convolution, nn.Conv2d) and type(norm) is nn.BatchNorm2d:
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return ready


def prepared(network: Network, precision: Precision) -> Network:
    """The same network, changed in place such that its convolutions are fast. Not for a training, nor for an export.

    Args:
        network: in eval mode; best `folded`.
        precision: with ``bf16`` it is to be run under `lowered`, which then has no weights to round each time.
    """
    for module in network.modules():
        if type(module) is not nn.Conv2d:
            continue
        if precision == "bf16":
            module.to(torch.bfloat16)
        elif module.kernel_size == (1, 1) and not module.weight.is_cuda:
            # Nothing to a kernel of one pixel. But on one thread torch computes a plain 1x1 convolution by MKL, a
            # dilated one by oneDNN, in less than half the time on an AMD EPYC.
            module.dilation = (2, 2)
    return network
