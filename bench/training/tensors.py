"""numpy's arrays as torch's tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def tensor_of(array: np.ndarray) -> Tensor:
    """The array as a tensor: on its memory, but for a read-only array or one of another order, which are copied.

    torch would take a read-only array with a warning, and let the tensor write into it.
    """
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
