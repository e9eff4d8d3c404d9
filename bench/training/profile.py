"""How large a network is, and how much it computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def multiply_adds(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of convolutions, matrix products and attention in one forward pass in eval mode.

    Network and inputs may lie on the ``meta`` device: nothing is computed then.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(*inputs)
    return int(counter.get_total_flops() // 2)
