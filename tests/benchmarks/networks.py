"""The networks that refine a map, and what a pass through one costs. Every measurement is a fresh process's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import psutil
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from bench.execution.measure import MIB, Meter
from bench.refiners.prn.fast_network import FastNetwork
from bench.refiners.prn.network import PrnNetwork
from bench.refiners.prn.released import ReleasedNetwork
from bench.training.folding import Precision, folded, lowered, prepared

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


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "prn-released": lambda size: ReleasedNetwork(grid=8),
    "prn": lambda size: PrnNetwork(size=size, patch=size // 8, width=32),
    "prn-fast": lambda size: Fast(),
    "unet-resnet34": lambda size: smp.Unet("resnet34", in_channels=1, encoder_weights=None),
}
"""What takes ``Bx1xsizexsize`` probabilities. The first is what the others are compared with."""

OURS = ("prn", "prn-fast")
"""Run as our refiners run them: in channels-last layout, and for inference with folded norms. Others are as built."""

Computed = Literal["float32", "tf32", "bf16"]
"""On a GPU ``tf32`` is torch's own default; on a CPU it is float32."""


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        network: a name of `NETWORKS`.
        device: "cpu" (one thread) or "cuda".
        batch: maps a pass.
        size: their side, a multiple of 64.
        precision: of convolutions; ``bf16`` by autocast.
        compiled: by ``torch.compile``, before the timed passes.
        training: a step of Adam with cross-entropy on every output, in place of a forward pass in eval mode.
        repeats: timed passes, after one that is not.
    """

    network: str
    device: str = "cpu"
    batch: int = 1
    size: int = SIZE
    precision: Computed = "float32"
    compiled: bool = False
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
        gflop: of the pass's convolutions, 2 a multiply-add; with ``training`` backward, too.
        moved_mb: what these must at least read and write, each its inputs and its output once, MiB.
        floor_seconds: the longer of computing that at the pace of a large convolution in this precision and moving it
            at the pace of copies, both measured in the same process.
    """

    seconds: float
    parameters: int
    peak_mb: float
    gflop: float
    moved_mb: float
    floor_seconds: float


def measure(job: Job) -> Measurement:
    """Run a job in a process of its own: memory that another one left behind would hide its peak."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(measured, job).result()


def measured(job: Job) -> Measurement:
    """As `measure`, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with _convolutions(job):
        network = built(job)
        maps = torch.rand(job.batch, 1, job.size, job.size, device=job.device)
        step = training_step(network, maps, job) if job.training else forward(network, maps, job)
        meter = Meter(job.device)
        before = psutil.Process().memory_info().rss / MIB
        costs = [meter(step)[1] for _ in range(1 + job.repeats)]
        if job.device == "cuda":
            peak = max(cost.peak_gpu_mb or 0.0 for cost in costs)
        else:
            peak = max(cost.peak_rss_mb or 0.0 for cost in costs) - before
        flop, moved = _work(job)
        return Measurement(
            seconds=median(cost.seconds for cost in costs[1:]),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            peak_mb=peak,
            gflop=flop / 1e9,
            moved_mb=moved / MIB,
            floor_seconds=max(flop / _flop_a_second(job), moved / _bytes_a_second(job)),
        )


def built(job: Job) -> nn.Module:
    """The job's network with random weights, in train or eval mode, on its device."""
    network = NETWORKS[job.network](job.size).train(job.training).to(job.device)
    if job.network in OURS:
        network.to(memory_format=torch.channels_last)
        if not job.training:
            network = prepared(folded(network), _precision(job))
    return torch.compile(network) if job.compiled else network  # type: ignore[return-value]  # a module of another kind


def forward(network: nn.Module, maps: Tensor, job: Job) -> Callable[[], Any]:
    """A forward pass; a call returns what the network says."""

    def step() -> Any:
        with torch.inference_mode(), lowered(job.device, _precision(job)):
            return network(maps)

    return step


def training_step(network: nn.Module, maps: Tensor, job: Job) -> Callable[[], None]:
    """A step of Adam: the fused one for our networks, as `bench.training` takes it, torch's default for others."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=8e-4, fused=True if job.network in OURS else None)
    target = (maps > 0.5).float()

    def step() -> None:
        optimiser.zero_grad()
        with lowered(job.device, _precision(job)):
            outputs = network(maps)
        branches = outputs if isinstance(outputs, tuple) else (outputs,)
        losses = [F.binary_cross_entropy_with_logits(branch.float(), target) for branch in branches]
        torch.stack(losses).sum().backward()
        optimiser.step()

    return step


def _precision(job: Job) -> Precision:
    return "bf16" if job.precision == "bf16" else "float32"


def _convolutions(job: Job) -> AbstractContextManager[None]:
    if job.device == "cpu":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=job.precision == "tf32")


_CONVOLUTIONS = ("conv2d", "conv_transpose2d", "convolution", "convolution_backward")
"""The first two are what an inference says where the others are what a training does."""


class _Moved(TorchDispatchMode):
    """Bytes of what convolutions are given and return."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in _CONVOLUTIONS:
            tensors = [leaf for leaf in tree_leaves((args, found)) if isinstance(leaf, Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return found


def _work(job: Job) -> tuple[float, float]:
    """Floating-point operations and bytes of a pass that is not compiled."""
    plain = Job(**{**vars(job), "compiled": False})
    network = built(plain)
    maps = torch.rand(job.batch, 1, job.size, job.size, device=job.device)
    step = training_step(network, maps, plain) if job.training else forward(network, maps, plain)
    with FlopCounterMode(display=False) as counter, _Moved() as moved:
        step()
    return counter.get_total_flops(), moved.bytes


def _flop_a_second(job: Job) -> float:
    """Of a convolution as a large network has it, 256 channels, in the job's precision: the best of five."""
    layer = nn.Conv2d(256, 256, 3, padding=1, bias=False, device=job.device)
    layer.to(memory_format=torch.channels_last)
    sides = (1, 256, 64, 64) if job.device == "cpu" else (64, 256, 64, 64)
    features = torch.randn(sides, device=job.device).contiguous(memory_format=torch.channels_last)
    if job.precision == "bf16":
        layer, features = layer.bfloat16(), features.bfloat16()
    with torch.inference_mode():
        return 2 * 9 * 256 * features.numel() / _best(lambda: layer(features), job)


def _bytes_a_second(job: Job) -> float:
    """Of a copy that no cache holds: it reads and writes."""
    values = torch.zeros(2**26 if job.device == "cpu" else 2**29, dtype=torch.uint8, device=job.device)
    into = torch.empty_like(values)
    return 2 * values.numel() / _best(lambda: into.copy_(values), job)


def _best(step: Callable[[], Any], job: Job) -> float:
    meter = Meter(job.device)
    return min(meter(step)[1].seconds for _ in range(5))
