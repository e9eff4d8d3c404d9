"""What the benchmarks measure with: threads, fresh processes, commands, exponents of growth."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from unittest.mock import patch

import cv2
import numpy as np
import psutil
import torch
from scipy import stats
from threadpoolctl import threadpool_limits

from bench.execution.measure import MIB, Meter
from bench.runtime.allocating import kept
from bench.runtime.environment import cores

T = TypeVar("T")


PRELOADED = ["tests.benchmarks.rows", "torchmetrics.functional.classification", "py_sod_metrics"]
"""What takes seconds to import, once for all processes; what is not installed is passed over."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Native threads of OpenMP, BLAS, torch and OpenCV, and the processors that ``bench`` sees it may use."""
    allowed = os.sched_getaffinity(0)  # Linux alone has it: so has the rest that is measured here
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        os.sched_setaffinity(0, sorted(allowed)[:count])
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
        with threadpool_limits(count):
            yield
    finally:
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def cpu_seconds() -> float:
    """Of this process and of those below it that have ended."""
    below = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + below.ru_utime + below.ru_stime


def in_fresh_process(function: Callable[..., T], *arguments: object) -> T:
    """What a module's function returns in a process of its own: memory that others left behind would hide a peak.

    It is forked from one that has done nothing but import, and keeps what memory it frees, as the harness's own do.
    Otherwise pages that come and go are a large part of a time, and how many do hangs on what the process did before:
    one job took 3.3 ms or 9.4 ms.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with patch.dict(os.environ, kept()), ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(_alone, function, *arguments).result()


def _alone(function: Callable[..., T], *arguments: object) -> T:
    gc.freeze()  # half a million objects of imports: a collection between rounds need not look at them
    return function(*arguments)


def peak_growth_mib(job: Callable[[], object], device: str = "cpu") -> float:
    """What one call adds to this process at its peak, MiB; on a GPU the peak of torch's allocator."""
    meter, before = Meter(device), psutil.Process().memory_info().rss / MIB
    _, cost = meter(job)
    return (cost.peak_gpu_mb if device == "cuda" else (cost.peak_rss_mb or 0.0) - before) or 0.0


@dataclass(frozen=True)
class Spent:
    """What a ``bench`` command took.

    Attributes:
        cpu_seconds: of its own process.
        machine_seconds: CPU time of the whole machine: processes of a Ray cluster are nobody's children.
        wall_seconds: from its start to its end.
        peak_mib: resident memory of its own process at its peak. The kernel's count for a child has that of the
            process which started it in it; this has not.
    """

    cpu_seconds: float
    machine_seconds: float
    wall_seconds: float
    peak_mib: float


_COMMAND = """
import sys, time
from bench.cli import main
code = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time(), int(peak.split()[1]) / 1024, file=sys.stderr)
sys.exit(code)
"""


def command(*arguments: str) -> Spent:
    """Run ``bench`` with these arguments, in a process of its own. Raises CalledProcessError where it fails."""
    busy, begin = _busy(), time.monotonic()
    line = [sys.executable, "-c", _COMMAND, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    wall, machine = time.monotonic() - begin, _busy() - busy
    cpu, peak = map(float, done.stderr.split()[-2:])
    return Spent(cpu, machine, wall, peak)


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def exponent(first: tuple[float, int], last: tuple[float, int], start: tuple[float, int]) -> float:
    """Of the growth from the first to the last of (seconds, count), with the start taken off both: 1 is linear."""
    (some, few), (more, many) = ((seconds - start[0], count - start[1]) for seconds, count in (first, last))
    return math.log(more / some) / math.log(many / few)


@dataclass(frozen=True)
class Fit:
    """An exponent by least squares of logarithms, and its 95 % interval; 1 is linear."""

    exponent: float
    low: float
    high: float


def fitted(counts: Sequence[float], seconds: Sequence[float]) -> Fit:
    """The exponent of seconds over counts, three points or more."""
    line = stats.linregress(np.log(counts), np.log(seconds))
    reach = line.stderr * stats.t.ppf(0.975, len(counts) - 2)
    return Fit(line.slope, line.slope - reach, line.slope + reach)


ALL_CORES = cores()
"""Read before any pass narrows it."""
