"""JSON that says of itself whether it is what was written: files of a store, and lines of logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.contracts import UserError
from bench.runtime.files import content_digest, replacing

SEAL = "seal"
"""The key with the digest of the rest."""


def sealed(content: dict[str, Any], *, indent: int | None = None) -> str:
    """A JSON-able object as text, with its seal: BLAKE2b-128 of the rest, keys sorted, no blanks, in hexadecimal."""
    # As JSON has it: of tuples and of keys that are no text the file holds something else.
    plain = json.loads(json.dumps(content))
    return json.dumps({**content, SEAL: _digest(plain)}, indent=indent) + "\n"


def unsealed(text: str | bytes) -> dict[str, Any]:
    """What was sealed. Raises ValueError where the text is torn or changed, or never had a seal."""
    return opened(json.loads(text))


def opened(content: Any) -> dict[str, Any]:
    """As `unsealed`, of what JSON has read; the seal is taken out of it."""
    if not isinstance(content, dict) or content.pop(SEAL, None) != _digest(content):
        raise ValueError("not what was written, its seal is broken")
    return content


class Log:
    """A file of sealed objects, one a line, that grows; an interrupted call's is gone on with.

    Args:
        path: made where it is missing. What follows a damaged or torn line is taken out.

    Attributes:
        lines: what was there when it was opened.

    Raises:
        UserError: it cannot be read or written; so does `add`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        whole = list(_whole_lines(path))
        self.lines = [content for _, content in whole]
        with self._writing():
            with replacing(path) as temporary:
                temporary.write_bytes(b"".join(line for line, _ in whole))
            self._stream = path.open("ab", buffering=0)

    def add(self, content: dict[str, Any]) -> None:
        """Write one more."""
        with self._writing():
            rest = sealed(content).encode()
            while rest:  # of what a disk has room for in part, the next call says that it is full
                rest = rest[self._stream.write(rest) :]

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            fix = "make room there, then run the same command again: it goes on where this one stopped"
            raise UserError(f"cannot write, {error.strerror or error}", self.path, fix) from None


def _whole_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
        try:
            if not line.endswith(b"\n"):
                return
            yield line, unsealed(line)
        except ValueError:
            return


def _digest(plain: dict[str, Any]) -> str:
    return content_digest(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())
