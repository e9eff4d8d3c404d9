"""What `bench refine` has written into a folder, and from what: the record that lies beside the maps.

`RECORD` holds one JSON object a line. The first is the work: refiner, identity, format. Then, of a map, a line with
its file's name alone before it is written, and one with the digests of image, map and what was made of them after. So a
file that the record does not name is nobody's of ours, wherever a call was killed, and the last line of one that it
names says whether it is whole, and still what it was made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from bench.contracts import UserError
from bench.runtime.files import OUT, replacing
from bench.runtime.progress import note, track
from bench.runtime.reading import open_regular

RECORD = ".bench-refine.jsonl"
"""Hidden, so that who lists the maps does not meet it."""

_FORCE = "name another folder with --out, or say --force to redo all maps"


@dataclass(frozen=True)
class Work:
    """What makes maps of maps.

    Attributes:
        refiner: its name, with the parameters that are no defaults.
        identity: hex digest of all that changes its maps.
        format: of the files.
        reading: what the maps were taken for, see `bench.images.MapFiles.said`.
    """

    refiner: str
    identity: str
    format: str
    reading: str = ""

    def __str__(self) -> str:
        return self.refiner if self.format == "like" else f"{self.refiner} as {self.format}"


@dataclass(frozen=True)
class Task:
    """The files of one image; its name in errors is the map's."""

    image: Path
    map: Path
    target: Path

    def __str__(self) -> str:
        return str(self.map)


@dataclass(frozen=True)
class Made:
    """A map that was written: hex digests of the files that it was made from, and of itself."""

    target: Path
    image: str
    map: str
    made: str


class Record:
    """The record of one folder. Nothing is written before `open`.

    Args:
        out: the folder, which need not exist.
        work: this call's.
        force: redo what is there, whoever made it.

    Raises:
        UserError: the folder's maps are of other work, or the record is damaged; not with ``force``.
    """

    def __init__(self, out: Path, work: Work, *, force: bool) -> None:
        self.out, self.path, self.work, self.force = out, out / RECORD, work, force
        self.known: dict[str, dict[str, str]] = {}
        """When the call began, by the file's name below the folder; empty for a file that was only begun."""
        self.others: list[str] = []
        """Files of the work that was here before."""
        self._stream: TextIO | None = None
        self._tasks: Sequence[Task] = ()
        found = self._read()
        if found is None:
            return
        before, files = found
        if before == work:
            self.known = files
        elif force:
            self.others = list(files)
        else:
            mine = f"not {work}"
            if str(before) == str(work):
                read = f"maps read as {before.reading}, not {work.reading}" if before.reading != work.reading else ""
                mine = f"with {read or 'other parameters, files or another version'}"
            raise UserError(f"the folder holds maps made by {before}, {mine}", out, _FORCE)

    def todo(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks that are not done, or not with these images and maps. Reads each file that is done.

        Raises:
            UserError: a file is in the way that the record does not know, or not as it is; not with ``force``.
        """
        if self.force:
            return list(tasks)
        rest, strange, changed = [], [], 0
        for task in track(tasks, "look for what is done", total=len(tasks)):
            known = self.known.get(self._name(task.target))
            if not task.target.is_file() or known == {}:
                rest.append(task)
            elif known is None or known["made"] != file_digest(task.target):
                strange.append(task)
            elif known["image"] != file_digest(task.image) or known["map"] != file_digest(task.map):
                rest.append(task)
                changed += 1
        if strange:
            said = f"{len(strange)} files are in the way, not written by 'bench refine' or changed since"
            fix = "move them away, or say --force to redo all maps"
            raise UserError(f"{said}, e.g. {self._name(strange[0].target)}", self.out, fix)
        if changed:
            note(f"{changed} maps are made anew: their images or maps have changed")
        return rest

    def open(self, tasks: Sequence[Task]) -> None:
        """Begin to write, into the folder that is there.

        Args:
            tasks: those that are to be done; with ``force`` what is there of them counts as begun from now on.

        Raises:
            UserError: the record cannot be written.
        """
        if not tasks:
            return
        self._tasks = tasks
        if self.force:
            self.known |= {self._name(task.target): {} for task in tasks if task.target.is_file()}
            left = [name for name in self.others if name not in self.known and (self.out / name).is_file()]
            if left:
                note(f"warning: {len(left)} maps of earlier work stay in {self.out}, e.g. {left[0]}")
        lines = [asdict(self.work), *({"file": name, **known} for name, known in self.known.items())]
        try:
            with replacing(self.path) as temporary:
                temporary.write_text("".join(map(_line, lines)), encoding="utf-8")
            self._stream = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from None

    def handed_out(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """The tasks, each recorded as begun when it is asked for."""
        for task in tasks:
            self._add(self._name(task.target), {})
            yield task

    def done(self, made: Made) -> None:
        """Record that a map is written. Raises UserError where that cannot be."""
        self._add(self._name(made.target), {"image": made.image, "map": made.map, "made": made.made})

    def close(self) -> None:
        """End writing; of a call that has left no map, no record stays either."""
        if self._stream is not None:
            self._stream.close()
            targets = (*(self.out / name for name in self.known), *(task.target for task in self._tasks))
            if not any(target.is_file() for target in targets):
                self.path.unlink(missing_ok=True)

    def _name(self, target: Path) -> str:
        return target.relative_to(self.out).as_posix()

    def _add(self, name: str, known: dict[str, str]) -> None:
        assert self._stream is not None
        try:
            self._stream.write(_line({"file": name, **known}))
            self._stream.flush()
        except OSError as error:
            raise self._unwritable(error) from None

    def _read(self) -> tuple[Work, dict[str, dict[str, str]]] | None:
        """The work and the files; None where there is no record, or none that can be read and all is redone anyway."""
        try:
            text = self.path.read_text(encoding="utf-8")
            # A last line without an end was torn by a kill: what it tells of had not begun, or is still begun.
            lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            files = {line.pop("file"): line for line in lines[1:]}
            if any(line and line.keys() != {"image", "map", "made"} for line in files.values()):
                raise ValueError
            return (Work(**lines[0]), files) if lines else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            if self.force:
                return None
            raise UserError("a damaged record of what was refined here", self.path, _FORCE) from None

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"cannot write, {error.strerror or error}", self.path, OUT)


def file_digest(path: Path) -> str:
    """Hex digest (128 bits, BLAKE2b) of a file's bytes. Raises UserError where it cannot be read."""
    try:
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the file, {error.strerror}", path, "make it readable, or take it out") from None


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content) + "\n"
