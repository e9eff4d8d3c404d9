"""What a map of 512x512 costs in each network: on one thread; with ``--device cuda`` all that is asked of a GPU, by

python -m pytest tests/benchmarks/bench_networks.py tests/benchmarks/bench_cascadepsp.py --device cuda --results gpu.md
"""

from __future__ import annotations

import pytest

from tests.benchmarks.conftest import Tables
from tests.benchmarks.networks import NETWORKS, SIZE, Computed, Job, Measurement, measure

REFINERS = [name for name in NETWORKS if name.startswith("prn")]

PAPER_GB = 1.03
"""PRN's memory in the paper's Table 5, on a 2080 Ti; how it was read is not said."""


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_forward(tables: Tables, device: str, repeats: int, network: str, precision: Computed) -> None:
    found = measure(Job(network, device, precision=precision, repeats=repeats))
    add(tables, f"forward, {SIZE}x{SIZE}, batch 1, {place(device)}", f"{network}, {precision}", found)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("network", REFINERS)
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_throughput(
    tables: Tables, device: str, repeats: int, training: bool, network: str, precision: Computed, compiled: bool
) -> None:
    if device != "cuda":
        pytest.skip("images a second are a GPU's: --device cuda")
    job = Job(network, device, 4, precision=precision, compiled=compiled, training=training, repeats=repeats)
    found = measure(job)
    title = f"{'training step' if training else 'inference'}, {SIZE}x{SIZE}, batch {job.batch}, GPU"
    named = f"{network}, {precision}{', compiled' if compiled else ''}"
    add(tables, title, named, found, images_a_second=job.batch / found.seconds)


@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("network", REFINERS)
def test_memory(tables: Tables, device: str, network: str, batch: int) -> None:
    if device != "cuda":
        pytest.skip("the paper's memory is a GPU's: --device cuda")
    for training in (False, True):
        found = measure(Job(network, device, batch, precision="tf32", training=training, repeats=1))
        title = f"peak memory, {'training' if training else 'inference'}, {SIZE}x{SIZE}, GPU (Table 5: {PAPER_GB} GB)"
        add(tables, title, f"{network}, batch {batch}", found, peak_gb=found.peak_mb * 2**20 / 1e9)


def place(device: str) -> str:
    return "one thread" if device == "cpu" else "GPU"


def add(tables: Tables, title: str, name: str, found: Measurement, **columns: float) -> None:
    assert found.peak_mb > 0
    tables(title).add(
        name,
        found.seconds,
        **columns,
        parameters=found.parameters,
        peak_mb=found.peak_mb,
        gflop=found.gflop,
        floor_ms=1000 * found.floor_seconds,
        times_the_floor=found.seconds / found.floor_seconds,
    )
