"""Freed memory stays with the process where that is asked for, and no longer."""

from __future__ import annotations

import platform

import numpy as np
import psutil
import pytest

from bench.runtime.allocating import all_kept, give_back

MIB = 2**20


def resident() -> float:
    return float(psutil.Process().memory_info().rss / MIB)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_what_is_freed_is_kept_inside_and_given_back_afterwards() -> None:
    give_back()  # what other tests freed
    before = resident()
    with all_kept():
        large = np.ones(300 * MIB, np.uint8)
        assert resident() > before + 250
        del large
        assert resident() > before + 250
    assert resident() < before + 50
