"""A small trained U-Net, and what it computes itself: what files of it are compared with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import nn

from bench.contracts import ProbabilityMap, Sample
from bench.images import resize
from bench.training.preprocessing import IMAGENET

SIDE = 64


def samples(count: int = 3) -> list[Sample]:
    """Noisy images, none square, each with a bright disc."""
    generator = np.random.default_rng(0)
    made = []
    for index in range(count):
        rows, columns = np.mgrid[: 70 + 9 * index, :90]
        mask = np.hypot(rows - 30, columns - 20 - 15 * index) < 14
        noise = generator.integers(0, 60, (*mask.shape, 3))
        made.append(Sample(f"s{index}", (noise + 150 * mask[..., None]).astype(np.uint8), mask))
    return made


def unet() -> nn.Module:
    """A U-Net over MobileNetV2 after a few steps on `samples`: its batch norms and weights are no initial ones."""
    torch.manual_seed(0)
    network = smp.Unet("mobilenet_v2", encoder_depth=3, encoder_weights=None, decoder_channels=(32, 16, 8))
    pixels = torch.cat([_pixels(sample) for sample in samples()])
    mask = torch.stack([torch.from_numpy(resize(s.mask.astype(np.float32), SIDE, SIDE)) for s in samples()])
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(pixels)[:, 0], mask).backward()
        optimizer.step()
    return network.eval()


def maps(network: nn.Module) -> list[ProbabilityMap]:
    """Eager's maps of `samples`, in the bases' own steps: resize, normalise, sigmoid, resize back."""
    made = []
    for sample in samples():
        with torch.inference_mode():
            probs = network(_pixels(sample)).sigmoid()[0, 0].numpy()
        made.append(resize(probs, *sample.mask.shape))
    return made


def _pixels(sample: Sample) -> torch.Tensor:
    return IMAGENET(torch.from_numpy(resize(sample.image, SIDE, SIDE).transpose(2, 0, 1)[None].copy()))


@contextmanager
def deprecated() -> Iterator[None]:
    """torch says of every TorchScript call that it is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
