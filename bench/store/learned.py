"""What was learned: a base's training, a refiner's fit, a tuning.

A folder of files that the base or refiner itself has written, whole once it holds ``finished.json``, which says by
digest what they are; ``tuned.json`` is what a tuning found.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contracts import UserError
from bench.runtime.files import file_digest, replacing
from bench.runtime.sealed import SEAL, sealed, unsealed
from bench.store.objects import Objects

_FINISHED = "finished.json"


@dataclass(frozen=True)
class Learned:
    """The folder of one training on this machine."""

    folder: Path

    @property
    def finished(self) -> dict[str, Any] | None:
        """``seconds`` that it took, ``files`` (their digests) and, of a refiner, its name, identity and val's ``ids``.

        None where it is not whole. Raises UserError where a file is not what it was when it was finished.
        """
        found = _read(self.folder / _FINISHED)
        for place, digest in (found or {}).get("files", {}).items():
            file = self.folder / place
            if not file.is_file() or file_digest(file) != digest:
                what = "is not what was written" if file.is_file() else "is gone"
                raise UserError(f"damaged, {place} {what}", self.folder, _AGAIN)
        return found

    def finish(self, seconds: float, **more: Any) -> None:
        """Say that the training is whole."""
        files = {
            path.relative_to(self.folder).as_posix(): file_digest(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path != self.folder / _FINISHED  # of a call that could not put it into the store
        }
        _write(self.folder / _FINISHED, {"seconds": seconds, "files": files, **more})

    def copy(self, folder: Path) -> float:
        """Copy what was learned to where another training goes on from it; the seconds that it took.

        Raises:
            UserError: as `finished`; or it is not there.
        """
        finished = self.finished
        if finished is None:
            raise UserError("not finished, or gone", self.folder, _AGAIN)
        for place in finished["files"]:
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                shutil.copyfile(self.folder / place, temporary)
        return float(finished["seconds"])

    @property
    def tuned(self) -> dict[str, Any] | None:
        """What a tuning found, see `Manifest.tuned`; None where there was none, or it has not ended."""
        return _read(self.folder / "tuned.json")

    def keep_tuned(self, found: dict[str, Any]) -> None:
        """Write what a tuning found."""
        _write(self.folder / "tuned.json", found)


@dataclass(frozen=True)
class Training:
    """A base's or a refiner's training in a store.

    Attributes:
        name: of its folder in the store.
        task: what a lease on it is called.
        warn: is told of a damaged one that is passed over.
        least: the generation that it must have.
    """

    objects: Objects
    name: str
    task: str
    warn: Callable[[UserError], None]
    least: int = 0

    def find(self) -> Learned | None:
        """The finished one, on this machine; None where there is none, or a damaged one."""
        folder = self.objects.fetch(self.name)
        if folder is None:
            return None
        found = Learned(folder)
        try:
            finished = found.finished
        except UserError as error:
            self.warn(error)
            return None
        return found if finished is not None and finished.get("generation", 0) >= self.least else None

    def add(self, work: Path, check: Callable[[], None]) -> None:
        """Put the finished folder ``work`` into the store, in place of what is there and is not finished.

        Args:
            check: is called when all is ready; what it raises keeps it out of the store.
        """
        check()
        while not self.objects.publish(work, self.name):
            if self.find() is not None:
                shutil.rmtree(work, ignore_errors=True)
                return
            self.objects.withdraw(self.name)


_AGAIN = "run again, which trains it again; or say 'bench store check --repair'"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = path.read_bytes()
        found = json.loads(content)
        # Earlier versions wrote neither.
        is_earlier = isinstance(found, dict) and not {SEAL, "files"} & found.keys()
        return found if is_earlier else unsealed(content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"damaged, {error}", path, _AGAIN) from None


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(sealed(content, indent=2))
