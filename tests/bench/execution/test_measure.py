from __future__ import annotations

import mmap
import time
from pathlib import Path

import pytest

from bench.execution import measure
from bench.execution.measure import MIB, Meter
from bench.metrics.columns import COSTS


def test_seconds_are_the_steps_own() -> None:
    def step() -> str:
        time.sleep(0.05)
        return "done"

    result, cost = Meter("cpu")(step)
    assert result == "done"
    assert 0.05 <= cost.seconds < 0.5


def test_without_a_gpu_its_columns_are_none() -> None:
    _, cost = Meter("cpu")(lambda: None)
    assert (cost.peak_gpu_mb, cost.peak_gpu_nvml_mb, cost.energy_j) == (None, None, None)
    assert list(cost.columns()) == [facts.key for facts in COSTS]  # what is measured is what is stored and shown
    assert set(cost.columns("base_")) == {
        "base_seconds",
        "base_peak_gpu_mb",
        "base_peak_gpu_nvml_mb",
        "base_peak_rss_mb",
        "base_energy_j",
    }


@pytest.mark.parametrize("kernel_keeps_the_peak", [True, False])
def test_peak_rss_sees_memory_that_was_given_back(monkeypatch: pytest.MonkeyPatch, kernel_keeps_the_peak: bool) -> None:
    if kernel_keeps_the_peak and not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's resettable high-water mark")
    if not kernel_keeps_the_peak:
        monkeypatch.setattr(measure, "_CLEAR_REFS", Path("/nowhere/clear_refs"))

    def take_and_give_back() -> None:
        # Pages from the kernel: malloc may hand out memory that other tests left resident.
        with mmap.mmap(-1, 100 * MIB) as memory:
            memory[:: mmap.PAGESIZE] = b"x" * (100 * MIB // mmap.PAGESIZE)
            if not kernel_keeps_the_peak:
                time.sleep(0.05)  # the sampler has to see it

    meter = Meter("cpu")
    _, before = meter(lambda: None)
    _, during = meter(take_and_give_back)
    _, after = meter(lambda: None)
    assert before.peak_rss_mb is not None and during.peak_rss_mb is not None and after.peak_rss_mb is not None
    assert during.peak_rss_mb - before.peak_rss_mb > 90
    assert after.peak_rss_mb - before.peak_rss_mb < 50
