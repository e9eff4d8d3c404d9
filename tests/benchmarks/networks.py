"""The networks that refine a map, and what a pass through one costs. Every measurement is a fresh process's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Literal

import psutil
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.execution.measure import MIB, Meter
from bench.refiners.prn.fast_network import FastNetwork
from bench.refiners.prn.network import PrnNetwork
from bench.refiners.prn.released import ReleasedNetwork

SIZE = 512


class Fast(nn.Module):
    """prn-fast's network, and an image for it to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.network = FastNetwork(smp.encoders.get_encoder("mobilenet_v2", weights=None), width=32, heads=4)

    def forward(self, maps: Tensor) -> Tensor | tuple[Tensor, ...]:
        image = maps.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        if not self.training:
            refined: Tensor = self.network(image, maps)
            return refined
        features = self.network.features(image)
        return tuple(head(features, maps) for head in self.network.heads)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "prn-released": lambda: ReleasedNetwork(grid=8),
    "prn": lambda: PrnNetwork(size=SIZE, patch=64, width=32),
    "prn-fast": Fast,
    "unet-resnet34": lambda: smp.Unet("resnet34", in_channels=1, encoder_weights=None),
}
"""What takes ``Bx1xSIZExSIZE`` probabilities. The first is what the others are compared with."""


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        network: a name of `NETWORKS`.
        device: "cpu" (one thread) or "cuda".
        batch: maps a pass.
        size: their side. Networks that are built for one size take no other.
        precision: float32 (on a GPU with torch's defaults: convolutions in TF32) or bfloat16 by autocast.
        training: a step of Adam with cross-entropy on every output, in place of a forward pass in eval mode.
        repeats: timed passes, after one that is not.
    """

    network: str
    device: str = "cpu"
    batch: int = 1
    size: int = SIZE
    precision: Literal["float32", "bfloat16"] = "float32"
    training: bool = False
    repeats: int = 5


@dataclass(frozen=True)
class Measurement:
    """What it costs.

    Attributes:
        seconds: a pass's median.
        parameters: the network's number of them.
        peak_mb: memory that the passes add to the process that holds the network and its input, MiB: at their peak,
            the first pass included. Of torch's CUDA allocator on a GPU, and with the network in it.
    """

    seconds: float
    parameters: int
    peak_mb: float


def measure(job: Job) -> Measurement:
    """Run a job in a process of its own: memory that another one left behind would hide its peak."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_measure, job).result()


def _measure(job: Job) -> Measurement:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = NETWORKS[job.network]().train(job.training).to(job.device)
    maps = torch.rand(job.batch, 1, job.size, job.size, device=job.device)
    step = _training_step(network, maps, job) if job.training else _forward(network, maps, job)
    meter = Meter(job.device)
    before = psutil.Process().memory_info().rss / MIB
    costs = [meter(step)[1] for _ in range(1 + job.repeats)]
    if job.device == "cuda":
        peak = max(cost.peak_gpu_mb or 0.0 for cost in costs)
    else:
        peak = max(cost.peak_rss_mb or 0.0 for cost in costs) - before
    return Measurement(
        seconds=median(cost.seconds for cost in costs[1:]),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        peak_mb=peak,
    )


def _forward(network: nn.Module, maps: Tensor, job: Job) -> Callable[[], None]:
    def step() -> None:
        with torch.inference_mode(), _autocast(job):
            network(maps)

    return step


def _training_step(network: nn.Module, maps: Tensor, job: Job) -> Callable[[], None]:
    optimiser = torch.optim.Adam(network.parameters(), lr=8e-4)
    target = (maps > 0.5).float()

    def step() -> None:
        optimiser.zero_grad()
        with _autocast(job):
            outputs = network(maps)
            branches = outputs if isinstance(outputs, tuple) else (outputs,)
        losses = [F.binary_cross_entropy_with_logits(branch.float(), target) for branch in branches]
        torch.stack(losses).sum().backward()
        optimiser.step()

    return step


def _autocast(job: Job) -> torch.autocast:
    return torch.autocast(job.device, torch.bfloat16, enabled=job.precision == "bfloat16")
