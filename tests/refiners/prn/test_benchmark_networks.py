"""The speed suite's measurement of networks, at a size that takes no time: what it counts is right."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.networks import NETWORKS, Job, measured


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_every_job_can_be_measured(network: str, training: bool) -> None:
    threads = torch.get_num_threads()
    try:
        found = measured(Job(network, batch=2, size=64, precision="bf16", training=training, repeats=1))
    finally:
        torch.set_num_threads(threads)
    assert found.seconds > 0 and found.floor_seconds > 0
    assert found.gflop > 0 and found.moved_mb > 0


def test_work_goes_with_the_batch_and_threefold_with_training() -> None:
    one, two, trained = (
        measured(Job("prn", batch=batch, size=64, training=training, repeats=1))
        for batch, training in ((1, False), (2, False), (1, True))
    )
    assert two.gflop == pytest.approx(2 * one.gflop, rel=1e-6)
    assert trained.gflop == pytest.approx(3 * one.gflop, rel=0.02)
    # Weights are read once a batch.
    assert one.moved_mb < two.moved_mb < 2 * one.moved_mb
