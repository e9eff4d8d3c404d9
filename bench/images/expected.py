"""Whether a file that is read is still what it was when a run was planned: a cell's numbers are kept under that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from bench.runtime.reading import changed


@dataclass(frozen=True)
class _Expected:
    digests: Mapping[Path, bytes]
    folder: Path | None


_EXPECTED: ContextVar[tuple[_Expected, ...]] = ContextVar("expected", default=())


@contextmanager
def expecting(digests: Mapping[Path, bytes], folder: Path | None = None) -> Iterator[None]:
    """While the block runs, what `bench.images` reads has to be what it was; blocks may lie in one another.

    Args:
        digests: BLAKE2b of files, of any length; others are read unchecked.
        folder: below which there were no other files.
    """
    token = _EXPECTED.set((*_EXPECTED.get(), _Expected(digests, folder)))
    try:
        yield
    finally:
        _EXPECTED.reset(token)


def check_expected(path: Path, data: bytes) -> None:
    """Raises UserError where the bytes read from a file are not those that are expected of it."""
    for expected in _EXPECTED.get():
        known = expected.digests.get(path)
        if known is None and expected.folder is not None and path.is_relative_to(expected.folder):
            raise changed(path, "was not there when the run was planned", "take it out, or run again")
        if known is not None and known != hashlib.blake2b(data, digest_size=len(known)).digest():
            raise changed(path)
