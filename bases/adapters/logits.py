"""A torch network's logits as a probability map."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from bench.contracts import ProbabilityMap, UserError
from bench.network_files.outputs import Foreground, planes_to_map


def logits_to_map(
    logits: Tensor,
    shape: tuple[int, ...],
    *,
    foreground: Foreground,
    activation: Literal["sigmoid", "softmax"],
    where: object,
) -> ProbabilityMap:
    """Resize logits bilinearly to the image, then make probabilities of them: float32 of ``shape`` in [0, 1].

    Args:
        logits: ``1xKxhxw``; one channel gets a sigmoid whatever ``activation`` says.
        shape: the image's rows and columns.
        foreground, activation, where: see `bench.network_files.outputs.to_map`.

    Raises:
        UserError: another shape, or no such class.
    """
    if logits.ndim != 4:
        raise UserError(f"its logits have shape {tuple(logits.shape)}", where, "name a segmentation model: 1xKxhxw")
    whole = F.interpolate(logits.float(), shape, mode="bilinear", align_corners=False).cpu().numpy()
    activation = activation if whole.shape[1] > 1 else "sigmoid"
    return planes_to_map(whole[0], foreground=foreground, activation=activation, where=where)
