"""What a map of 512x512 costs in each network: on one thread, and on a GPU with ``--device cuda``."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.benchmarks.conftest import Tables
from tests.benchmarks.networks import NETWORKS, SIZE, Job, measure


@pytest.mark.parametrize("network", NETWORKS)
def test_forward(tables: Tables, device: str, repeats: int, network: str) -> None:
    found = measure(Job(network, device, repeats=repeats))
    assert found.peak_mb > 0
    place = "one thread" if device == "cpu" else "GPU"
    title = f"forward, {SIZE}x{SIZE}, batch 1, {place}"
    tables(title).add(network, found.seconds, parameters=found.parameters, peak_mb=found.peak_mb)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_throughput(
    tables: Tables,
    device: str,
    repeats: int,
    training: bool,
    precision: Literal["float32", "bfloat16"],
    network: str,
) -> None:
    if device != "cuda":
        pytest.skip("images a second are a GPU's: --device cuda")
    job = Job(network, device, batch=4, precision=precision, training=training, repeats=repeats)
    found = measure(job)
    assert found.peak_mb > 0
    title = f"{'training step' if training else 'inference'}, {SIZE}x{SIZE}, batch {job.batch}, GPU"
    rate = job.batch / found.seconds
    tables(title).add(f"{network}, {precision}", found.seconds, images_a_second=rate, peak_mb=found.peak_mb)
