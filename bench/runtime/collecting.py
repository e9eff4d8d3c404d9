"""The garbage collector, out of the way of what makes much that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collecting() -> Iterator[None]:
    """No search for cycles within the block.

    For one that makes many objects that stay, in no cycles: Python would look through all of them again and again,
    which takes a quarter of the time that ten thousand manifests do.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
