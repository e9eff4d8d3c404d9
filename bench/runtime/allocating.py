"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = {"MALLOC_MMAP_THRESHOLD_": str(64 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20)}
"""Environment of a process that works on image after image: glibc keeps what one took for the next. Otherwise a process
that is new gives each array back, and the kernel clears its pages anew: measured seconds of a guided filter at 300x400
were a third higher for that."""


def kept() -> dict[str, str]:
    """`KEPT`, but for what the user has said otherwise."""
    return {name: os.environ.get(name, value) for name, value in KEPT.items()}


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""mallopt's names for what `KEPT` sets."""


@contextmanager
def all_kept() -> Iterator[None]:
    """Inside, the C library gives nothing back: for work that frees gigabytes and takes them again, as a training step.

    At 512 pixels and 4 maps a step, a fifth of the processor time went into pages cleared anew, even with `KEPT`, whose
    limits the features exceed. Afterwards these limits hold, and what was freed is given back.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    limits = {_TRIM_THRESHOLD: "MALLOC_TRIM_THRESHOLD_", _MMAP_THRESHOLD: "MALLOC_MMAP_THRESHOLD_"}
    before = {limit: int(kept()[name]) for limit, name in limits.items()}
    for limit in limits:
        libc.mallopt(limit, 2**31 - 1)
    try:
        yield
    finally:
        for limit, value in before.items():
            libc.mallopt(limit, value)
        give_back()


def give_back() -> None:
    """Let the kernel have what was freed: else it would be counted to whoever is measured next."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is glibc: musl has no such settings."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        return libc
    return None
