"""Manifests as they are read from a store: several at once, and none parsed twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bench.contracts import UserError
from bench.runtime.collecting import no_collecting
from bench.runtime.files import content_digest
from bench.store.manifest import Manifest, parsed
from bench.store.objects import Objects

_READERS = 16
"""Threads that read: a server answers each in some 20 ms."""


@dataclass(frozen=True)
class Manifests:
    """The manifests of one store.

    Other processes write into it, so that every look reads the files anew. A file with the content that it had at the
    last look is not parsed again: what is returned is as fresh as the files. Of such files it is the same object, which
    nobody changes: a change is a copy.
    """

    objects: Objects
    _parsed: dict[str, tuple[str, Manifest]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parsed": {}}  # a worker looks at few of them

    @no_collecting()
    def read(self, names: Iterable[str]) -> tuple[list[Manifest], dict[str, UserError]]:
        """Those of some objects, in their order, and what is wrong with each of the others, by `stem`.

        One that is gone meanwhile is left out.
        """
        found: list[Manifest] = []
        damaged: dict[str, UserError] = {}
        for name, content in self._contents(list(names)):
            try:
                if isinstance(content, UserError):
                    raise content
                if content is not None:
                    found.append(self._manifest(name, content))
            except UserError as error:
                damaged[stem(name)] = error
        return found, damaged

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, bytes | UserError | None]]:
        """Each name with its content, or why there is none; None where another process has just removed it."""
        at_once = max(1, len(names) // (4 * _READERS))  # a turn of a thread costs more than a file of a disk
        parts = [names[start : start + at_once] for start in range(0, len(names), at_once)]
        with ThreadPoolExecutor(_READERS) as threads:
            for part, contents in zip(parts, threads.map(self._contents_of, parts), strict=True):
                yield from zip(part, contents, strict=True)

    def _contents_of(self, names: Sequence[str]) -> list[bytes | UserError | None]:
        return [self._content_of(name) for name in names]

    def _content_of(self, name: str) -> bytes | UserError | None:
        try:
            return self.objects.read(name)
        except FileNotFoundError:
            return None
        except UserError as error:
            return error

    def _manifest(self, name: str, content: bytes) -> Manifest:
        digest = content_digest(content)
        known = self._parsed.get(name)
        if known is None or known[0] != digest:
            known = digest, parsed(content, stem(name), f"{self.objects.address}/{name}")
            self._parsed[name] = known
        return known[1]


def stem(name: str) -> str:
    """Of an object's name: what `bench.store.Manifest` has as ``file``."""
    return name.partition("/")[2].rpartition(".")[0]
