"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
import os
import sys

KEPT = {"MALLOC_MMAP_THRESHOLD_": str(64 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20)}
"""Environment of a process that works on image after image: glibc keeps what one took for the next. Otherwise a process
that is new gives each array back, and the kernel clears its pages anew: measured seconds of a guided filter at 300x400
were a third higher for that."""


def kept() -> dict[str, str]:
    """`KEPT`, but for what the user has said otherwise."""
    return {name: os.environ.get(name, value) for name, value in KEPT.items()}


def give_back() -> None:
    """Let the kernel have what was freed: else it would be counted to whoever is measured next."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # musl has none
        libc.malloc_trim(0)
