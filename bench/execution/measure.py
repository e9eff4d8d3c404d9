"""What a step costs: seconds, peak memory (torch's allocator, NVML, RSS), energy where NVML reports it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
MIB = 2**20
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """One step's cost; None where this machine cannot measure it.

    Attributes:
        seconds: wall time, the device synchronised before and after; NaN where the work was done elsewhere.
        peak_gpu_mb: peak of torch's CUDA allocator during the step, MiB.
        peak_gpu_nvml_mb: GPU memory in use, by all processes, as NVML reports it right after the step, MiB. Allocators
            of torch and onnxruntime keep what they took, so this is their peak plus the CUDA context.
        peak_rss_mb: peak resident memory of this process during the step, MiB.
        energy_j: energy the whole GPU drew during the step, J.
    """

    seconds: float
    peak_gpu_mb: float | None = None
    peak_gpu_nvml_mb: float | None = None
    peak_rss_mb: float | None = None
    energy_j: float | None = None

    def columns(self, prefix: str = "") -> dict[str, float | None]:
        """The fields as record columns."""
        return {prefix + name: value for name, value in asdict(self).items()}


class Meter:
    """Runs steps and measures them.

    Args:
        device: ``"cpu"`` or ``"cuda"`` (the first visible GPU).
        alone: no other process of ours works beside this one; else what NVML tells of the whole GPU is left out.
        own_process: this process does nothing but these steps; else its memory, which is more than theirs, is left out.
    """

    def __init__(self, device: str, *, alone: bool = True, own_process: bool = True) -> None:
        self._gpu = _Gpu() if device == "cuda" else None
        self._left_out: dict[str, Any] = {}
        if not alone:
            self._left_out |= dict.fromkeys(("peak_gpu_nvml_mb", "energy_j"))
        if not own_process:
            self._left_out |= dict.fromkeys(("peak_gpu_mb", "peak_gpu_nvml_mb", "peak_rss_mb"))

    def __call__(self, step: Callable[[], T]) -> tuple[T, Cost]:
        """Run ``step`` once; its result and its cost."""
        energy = self._gpu.start() if self._gpu else None
        with _peak_rss() as rss:
            begin = time.perf_counter()
            result = step()
            if self._gpu:
                self._gpu.synchronise()
            seconds = time.perf_counter() - begin
        gpu = self._gpu.stop(energy) if self._gpu else {}
        cost = Cost(seconds=seconds, peak_rss_mb=rss[0], **gpu)
        return result, replace(cost, **self._left_out)


class _Gpu:
    """The first visible GPU, through torch and NVML."""

    def __init__(self) -> None:
        import pynvml
        import torch

        pynvml.nvmlInit()
        self._cuda: Any = torch.cuda
        self._nvml: Any = pynvml
        # By UUID: NVML's numbering does not follow CUDA_VISIBLE_DEVICES.
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")

    def start(self) -> float | None:
        self.synchronise()
        self._cuda.reset_peak_memory_stats()
        return self._energy()

    def synchronise(self) -> None:
        self._cuda.synchronize()

    def stop(self, energy: float | None) -> dict[str, float | None]:
        now = self._energy()
        return {
            "peak_gpu_mb": self._cuda.max_memory_allocated() / MIB,
            "peak_gpu_nvml_mb": self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used / MIB,
            "energy_j": None if now is None or energy is None else now - energy,
        }

    def _energy(self) -> float | None:
        try:
            return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000
        except self._nvml.NVMLError:
            return None


@contextmanager
def _peak_rss() -> Iterator[list[float]]:
    """A one-element list that holds the peak RSS in MiB once the block has ended."""
    peak = [0.0]
    if _reset_high_water_mark():
        yield peak
        peak[0] = _high_water_mark()
        return
    process, finished = psutil.Process(), threading.Event()

    def sample() -> None:
        while not finished.wait(0.002):
            peak[0] = max(peak[0], process.memory_info().rss / MIB)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield peak
    finally:
        finished.set()
        sampler.join()
        peak[0] = max(peak[0], process.memory_info().rss / MIB)


def _reset_high_water_mark() -> bool:
    """Linux keeps the peak itself and lets a process reset it; elsewhere it has to be sampled."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> float:
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(fields["VmHWM"].split()[0]) * 1024 / MIB
