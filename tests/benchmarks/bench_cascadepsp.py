"""What CascadePSP takes by variant, for one image of 512x512: on one thread, and on a GPU with ``--device cuda``.

The released weights are not needed: seconds and memory do not depend on values. These are random, with a last layer of
zeros, so that no crop has foreground; ``low_threshold=0`` has the local step take every crop all the same.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from bench.execution.measure import MIB, Meter
from bench.refiners.cascadepsp import CascadePsp
from bench.refiners.cascadepsp.network import METADATA, build
from bench.training import save_weights
from tests.benchmarks.conftest import Tables

SIZE = 512

VARIANTS: dict[str, dict[str, Any]] = {
    "L=512,fast=true": {"L": 512, "fast": True},
    "L=512,fast=true,precision=bf16": {"L": 512, "fast": True, "precision": "bf16"},
    "L=512": {"L": 512},
    "L=512,levels=1": {"L": 512, "levels": 1},
    "L=512,precision=bf16": {"L": 512, "precision": "bf16"},
    "L=900": {"L": 900},
    "L=900,levels=1": {"L": 900, "levels": 1},
    "L=1024": {"L": 1024},
}


@dataclass(frozen=True)
class Measurement:
    """What one image takes, the first of its process.

    Attributes:
        seconds: wall time.
        cpu_seconds: of the process: what a machine that others use as well cannot lengthen much.
        peak_mb: peak memory of the process, network included, MiB; on a GPU that of torch's CUDA allocator.
        grown_mb: its growth over the process with the network loaded, MiB.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    grown_mb: float


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights whose answer is one half everywhere."""
    pytest.importorskip("segmentation_refinement", reason="the cascadepsp extra is not installed")
    network = build(0)
    last = network.get_submodule("final_21")
    for parameter in last.parameters():
        torch.nn.init.zeros_(parameter)
    path = tmp_path_factory.mktemp("random") / "weights.safetensors"
    save_weights(network, path, METADATA)
    return path


@pytest.mark.parametrize("variant", VARIANTS)
def test_peak_memory(tables: Tables, device: str, weights: Path, variant: str) -> None:
    # In a process of its own: memory that another one left behind would hide its peak.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        found = executor.submit(_measure, weights, VARIANTS[variant], device).result()
    assert found.peak_mb > found.grown_mb > 0
    place = "one thread" if device == "cpu" else "GPU"
    columns = {"cpu_s": found.cpu_seconds, "peak_mb": found.peak_mb, "grown_mb": found.grown_mb}
    tables(f"cascadepsp, {SIZE}x{SIZE}, random weights, {place}").add(variant, found.seconds, **columns)


def _measure(weights: Path, parameters: dict[str, Any], device: str) -> Measurement:
    torch.set_num_threads(1)
    refiner = CascadePsp(weights=weights, low_threshold=0.0, device=device, **parameters)
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    probs = np.zeros((SIZE, SIZE), np.float32)
    probs[128:384, 128:384] = 1
    # Loads the network: a pixel at the smallest L would already cost a forward pass.
    refiner.refine([], [])
    meter, begun = Meter(device), time.process_time()
    before = torch.cuda.memory_allocated() / MIB if device == "cuda" else psutil.Process().memory_info().rss / MIB
    _, cost = meter(lambda: refiner.refine([image], [probs]))
    peak = (cost.peak_gpu_mb if device == "cuda" else cost.peak_rss_mb) or 0.0
    return Measurement(cost.seconds, time.process_time() - begun, peak, peak - before)
