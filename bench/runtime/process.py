"""Which process wrote something, and whether it still runs: for leases and logs that other processes read."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """``host``, ``pid`` and what tells it from others that have its number, JSON-able."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "started": _start_of(os.getpid()),
    }


def is_gone(process: Mapping[str, Any]) -> bool:
    """Whether it was on this machine, and is not there or another one by now; False where that cannot be known.

    Args:
        process: as `this_process` told it.
    """
    if process.get("machine") != _machine():
        return False
    try:
        return _start_of(int(process["pid"])) != process["started"]
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def described(process: Mapping[str, Any]) -> str:
    """``"process 12 on host"``."""
    return f"process {process.get('pid', '?')} on {process.get('host', '?')}"


@cache
def _machine() -> str:
    """Where a process number means the same process: this boot, this namespace of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()} {psutil.boot_time():.0f}"


def _start_of(pid: int) -> str:
    """When a process began: that of another one with its number differs. Raises psutil.NoSuchProcess.

    On Linux in ticks since the machine was started: a time of day is reckoned anew when the clock is set.
    """
    process = psutil.Process(pid)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return str(process.create_time())
