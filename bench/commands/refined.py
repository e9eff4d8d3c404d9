"""What `bench refine` has written into a folder, and from what: the record that lies beside the maps.

`RECORD` is a hidden folder. ``work.json`` is the work: refiner, identity, format. Each process that writes has a log of
its own there, so that several can share the folder: of a map, a line with its file's name alone before it is written,
and one with the digests of image, map and what was made of them after. So a file that no log names is nobody's of ours,
wherever a call was killed, and a line that tells of the file as it is says what it was made from. Who works on which
maps is told by leases, as in a store.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bench.contracts import UserError
from bench.runtime import files
from bench.runtime.progress import note, track
from bench.runtime.sealed import Log, sealed, unsealed
from bench.store.folder import FolderObjects
from bench.store.leases import PAUSE, Lease, Leases

RECORD = ".bench-refine"
"""Hidden, so that who lists the maps does not meet it."""

SHARES = 64
"""Parts that the maps of a folder are dealt into; a process takes one after the other."""

_FORCE = "name another folder with --out, or say --force to redo all maps"
_WORK, _PREFIX = "work.json", "log-"


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

    @property
    def digest(self) -> str:
        """Short, for the names of its logs."""
        return files.content_digest(repr(self).encode())[:12]

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
        self.out, self.work, self.force = out, work, force
        self.objects = FolderObjects(out / RECORD)
        self.leases = Leases(self.objects)
        self._known: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        """By the file's name below the folder, then by log, its last line; empty for a file that was only begun."""
        self._read: dict[str, int] = {}
        """Bytes that were read of each log."""
        self._log: Log | None = None
        before = self._work_here()
        if before is not None and before != work and not force:
            raise self._refusal(before)
        if force:
            # What others write from now on is done; what is there already is not.
            self._read = {name: len(self.objects.read(name)) for name in self._logs()}
        else:
            self._catch_up()

    def todo(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks that are not done, or not with these images and maps. Reads each file that is done.

        Raises:
            UserError: a file is in the way that the record does not know, or not as it is; not with ``force``.
        """
        if self.force:
            return list(tasks)
        rest, strange, changed = [], [], 0
        for task in track(tasks, "look for what is done", total=len(tasks)):
            state = self._state(task)
            if state == "strange":
                strange.append(task)
            elif state != "done":
                rest.append(task)
                changed += state == "changed"
        if strange:
            said = f"{len(strange)} files are in the way, not written by 'bench refine' or changed since"
            fix = "move them away, or say --force to redo all maps"
            raise UserError(f"{said}, e.g. {self._name(strange[0])}", self.out, fix)
        if changed:
            note(f"{changed} maps are made anew: their images or maps have changed")
        return rest

    @contextmanager
    def open(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Write into the folder, which is there, within the block; where no map comes of it, no record stays.

        Args:
            tasks: those that are to be done.

        Raises:
            UserError: the record cannot be written, or other work has begun here meanwhile.
        """
        if not tasks:
            yield
            return
        with self.leases.keeping():
            own = f"{_PREFIX}{self.work.digest}.{uuid.uuid4().hex[:12]}"
            self.leases.take(own)
            # A log is begun under a lease: so if nobody else holds one now, whoever wrote these logs has ended.
            logs = self._logs(of_all=True)
            alone = self._is_alone(own)
            others = self._begin(alone)
            try:
                with Log(self.objects.local / f"{own}.jsonl") as self._log:
                    self._hand_over(tasks, others, logs if alone else [])
                    yield
            finally:
                self.objects.sweep()
                names = {*self._known, *map(self._name, tasks)}
                if self._is_alone(own) and not any((self.out / name).is_file() for name in names):
                    shutil.rmtree(self.objects.local, ignore_errors=True)

    def shares(self, tasks: Sequence[Task], least: int) -> Iterator[list[Task]]:
        """The tasks in parts that nobody else works on, until all are done, here or by other processes.

        Args:
            least: how many are wanted at once, while there are so many.
        """
        left: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            left[_share(self._name(task))].append(task)
        waited = False
        while left:
            held: list[Lease] = []
            mine: list[Task] = []
            for share in list(left):
                if len(mine) < least and (lease := self.leases.take(share)) is not None:
                    held.append(lease)
                    self._catch_up()
                    mine += [task for task in left.pop(share) if self._state(task) != "done"]
            if mine:
                yield mine
            for lease in held:
                self.leases.give_back(lease)
            if not held:
                if not waited:
                    note(f"the rest is left to {self.leases.holder(next(iter(left)))}")
                waited = True
                time.sleep(PAUSE)

    def begun(self, task: Task) -> None:
        """Record that a map is about to be written. Raises UserError where that cannot be."""
        self._add(self._name(task), {})

    def done(self, made: Made) -> None:
        """Record that a map is written. Raises UserError where that cannot be."""
        name = made.target.relative_to(self.out).as_posix()
        self._add(name, {"image": made.image, "map": made.map, "made": made.made})

    def _state(self, task: Task) -> Literal["done", "changed", "missing", "strange"]:
        lines = self._known.get(self._name(task))
        if not task.target.is_file():
            return "missing"
        if lines is None:
            return "strange"
        made = file_digest(task.target)
        of_it = [line for line in lines.values() if line.get("made") == made]
        if not of_it:
            return "missing" if {} in lines.values() else "strange"
        inputs = file_digest(task.image), file_digest(task.map)
        return "done" if inputs in [(line["image"], line["map"]) for line in of_it] else "changed"

    def _is_alone(self, own: str) -> bool:
        """Whether no other process writes a log here. A share's lease may be this process's own."""
        return [task for task in self.leases.live() if task.startswith(_PREFIX)] == [own]

    def _begin(self, alone: bool) -> list[str]:
        """Say whose work this is; the files of the work that was here before."""
        before, content = self._work_here(), sealed(asdict(self.work)).encode()
        if before is None and self.objects.create(_WORK, content):
            return []
        before = before or self._work_here()  # another process may have been faster
        if before == self.work:
            return []
        if before is not None and not self.force:
            raise self._refusal(before)
        if not alone:
            raise UserError("another process is refining into this folder", self.out, "wait for it, or name another")
        others = [name for log in self._logs(of_all=True) for name, _ in self._lines(log, strict=False)]
        self.objects.replace(_WORK, content)
        return list(dict.fromkeys(others))

    def _hand_over(self, tasks: Sequence[Task], others: Sequence[str], logs: Sequence[str]) -> None:
        """Into the own log what earlier ones tell, so that they can go.

        Args:
            tasks: those that are to be done.
            others: the files of other work.
            logs: all logs, if nobody writes them any more; else none.
        """
        if self.force:
            for task in tasks:
                if task.target.is_file():
                    self.begun(task)
            named = {self._name(task) for task in tasks}
            left = [name for name in others if name not in named and (self.out / name).is_file()]
            if left:
                note(f"warning: {len(left)} maps of earlier work stay in {self.out}, e.g. {left[0]}")
        if logs:
            self._catch_up()  # on what was written between the first look and the end of those who wrote
            for name, lines in list(self._known.items()):
                if (self.out / name).is_file():
                    self._add(name, self._of_now(name, list(lines.values())))
            for log in logs:
                self.objects.delete(log)

    def _of_now(self, name: str, lines: Sequence[dict[str, str]]) -> dict[str, str]:
        """Of several logs' lines on a file the one that tells of it as it is."""
        if len(lines) == 1:
            return lines[0]
        made = file_digest(self.out / name)
        return next((line for line in lines if line.get("made") == made), {} if {} in lines else lines[0])

    def _name(self, task: Task) -> str:
        return task.target.relative_to(self.out).as_posix()

    def _add(self, name: str, line: dict[str, str]) -> None:
        assert self._log is not None
        self._log.add({"file": name, **line})

    def _logs(self, *, of_all: bool = False) -> list[str]:
        names = self.objects.names(f"/{_PREFIX}" if of_all else f"/{_PREFIX}{self.work.digest}.")
        return [name.lstrip("/") for name in names]

    def _catch_up(self) -> None:
        """Read what was written since the last time."""
        for log in self._logs():
            for name, line in self._lines(log, strict=True):
                self._known[name][log] = line

    def _lines(self, log: str, *, strict: bool) -> Iterator[tuple[str, dict[str, str]]]:
        """The lines from where they were read to. One that is damaged ends them, or is an error."""
        begin = self._read.get(log, 0)
        for line in self.objects.read(log)[begin:].splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return  # it is being written, or was when its process was killed: what it tells of is begun at most
            try:
                content = unsealed(line)
                name = content.pop("file")
            except (ValueError, KeyError):
                if strict:
                    raise self._damage() from None
                return
            begin += len(line)
            self._read[log] = begin
            yield name, content

    def _work_here(self) -> Work | None:
        """The work of the folder; None where there is none, or none that can be read and all is redone anyway."""
        try:
            return Work(**unsealed(self.objects.read(_WORK)))
        except FileNotFoundError:
            if self._logs(of_all=True) and not self.force:
                raise self._damage() from None
        except (ValueError, TypeError):
            if not self.force:
                raise self._damage() from None
        return None

    def _damage(self) -> UserError:
        return UserError("a damaged record of what was refined here", self.objects.local, _FORCE)

    def _refusal(self, before: Work) -> UserError:
        mine = f"not {self.work}"
        if str(before) == str(self.work):
            other = before.reading != self.work.reading
            read = f"maps read as {before.reading}, not {self.work.reading}" if other else ""
            mine = f"with {read or 'other parameters, files or another version'}"
        return UserError(f"the folder holds maps made by {before}, {mine}", self.out, _FORCE)


def file_digest(path: Path) -> str:
    """Hex digest (128 bits, BLAKE2b) of a file's bytes. Raises UserError where it cannot be read."""
    try:
        return files.file_digest(path)
    except OSError as error:
        raise UserError(f"cannot read the file, {error.strerror}", path, "make it readable, or take it out") from None


def _share(name: str) -> str:
    """What a lease on the part that a file is in is called; in every process the same."""
    return f"maps-{int(files.content_digest(name.encode())[:8], 16) % SHARES}"
