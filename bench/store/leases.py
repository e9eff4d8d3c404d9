"""Who works on what: leases, so that several processes on several machines share a store's work.

A lease is an object ``leases/TASK.N.json``. It is taken by creating it, which one process alone can; its holder changes
it every `BEAT` seconds, and says in it how far the work is. One whose process is gone from this machine is stale at
once; of another machine's, which nobody's clock need agree with, when it has not changed for `EXPIRES` seconds of
watching. A stale one is taken over by creating the next number, which says whose it takes. A holder that was frozen
meanwhile finds that, and gives up.

Leases save work. That nothing is overwritten does not rest on them: what is finished is created, never replaced.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench.contracts import UserError
from bench.runtime.process import described, is_gone, this_process
from bench.runtime.progress import note
from bench.store.objects import Objects

EXPIRES = 120.0
"""Seconds without a sign of life after which others take a lease over."""

BEAT = 15.0
"""Seconds between two signs of life."""

PAUSE = 0.5
"""Seconds between two looks at what others have in hand."""

_LOOKS = 3
"""At a lease that cannot be read."""

_left: set[str] = set()
"""Tokens of the leases that this process could not give back. Other processes find them stale once it has ended."""


class LostError(Exception):
    """Another process has taken the work over."""


@dataclass(frozen=True)
class Lease:
    """The right to work on a task. Picklable: a stage's process has it, too, while the parent keeps it alive.

    Attributes:
        task: e.g. ``cell-KEY``.
        number: of the object.
        token: random; nobody else's.
        before: tokens of those who held it before and did not give it back, and whether they are surely gone.
    """

    task: str
    number: int
    token: str
    before: tuple[tuple[str, bool], ...] = ()

    @property
    def name(self) -> str:
        return _name(self.task, self.number)


@dataclass(frozen=True)
class Progress:
    """How far the work of a lease is.

    Attributes:
        what: is counted: ``"prn"``, of its images.
        total: None where it is not known.
    """

    what: str
    done: float
    total: float | None


@dataclass(frozen=True)
class Holding:
    """A lease as other processes see it.

    Attributes:
        process: who has it, as `bench.runtime.process.this_process` told it.
        since, beat: when it was taken and when its holder last gave a sign of life, by that one's clock; None where
            the lease is torn or an earlier version's.
        progress: None before anything was heard of it.
        is_gone: its process was on this machine and has ended.
    """

    task: str
    process: dict[str, Any]
    since: datetime | None
    beat: datetime | None
    progress: Progress | None
    is_gone: bool


@dataclass
class Leases:
    """The leases of one store, and those that this process holds.

    Args:
        objects: the store's.
    """

    objects: Objects
    _held: dict[str, Lease] = field(default_factory=dict)
    _since: dict[str, str] = field(default_factory=dict)
    _progress: dict[str, Progress] = field(default_factory=dict)
    _watched: dict[str, tuple[Any, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _beats: int = 0

    def __reduce__(self) -> tuple[type[Leases], tuple[Objects]]:
        return Leases, (self.objects,)  # what is held is this process's

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what is held alive within the block, by a thread; give back what is left at its end."""
        over = threading.Event()
        thread = threading.Thread(target=self._keep_alive, args=[over], daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for lease in list(self._held.values()):
                self.give_back(lease)

    def take(self, task: str) -> Lease | None:
        """The lease of a task; None while another process has it. Raises UserError where it cannot be written."""
        numbers = self._numbers(task)
        last = max(numbers, default=0)
        holder = self._read(task, last) if last else None
        if last and holder is None:
            return None  # it was given back just now
        before: tuple[tuple[str, bool], ...] = ()
        if holder is not None:
            gone = _is_gone(holder)
            if not (gone or self._is_silent(task, holder)):
                return None
            before = ((holder.get("token", ""), gone),)
        lease = Lease(task, last + 1, uuid.uuid4().hex[:12], before)
        self._since[task] = _now()
        self._progress.pop(task, None)
        if not self.objects.create(lease.name, self._content(lease, over=holder)):
            return None
        if holder is not None:
            now = self._read(task, last)
            if now is not None and now.get("token") != holder.get("token"):
                self.objects.delete(lease.name)  # it was given back and taken anew while we looked
                return None
            why = "which is gone" if before[0][1] else f"which was silent for {EXPIRES:g} s"
            note(f"taken over from {described(holder)}, {why}: {task}")
        for number in numbers:
            self.objects.delete(_name(task, number))
        with self._lock:
            self._held[lease.name] = lease
        return lease

    def report(self, task: str, progress: Progress) -> None:
        """How far the work on a task is that is held here: the next sign of life tells the others."""
        self._progress[task] = progress

    def renew(self, lease: Lease) -> Lease | None:
        """Another lease for a further attempt at the work of one that this process holds, which ends with that.

        Who still works with the old one, out of reach, loses it, and shares no folder with who has the new one.

        Returns:
            None where another process has taken the work over. Raises UserError where it cannot be written.
        """
        if not self.holds(lease):
            return None
        new = Lease(lease.task, lease.number + 1, uuid.uuid4().hex[:12], (*lease.before, (lease.token, False)))
        if not self.objects.create(new.name, self._content(new, over={"token": lease.token})):
            return None
        with self._lock:
            self._held[new.name] = new
            self._held.pop(lease.name, None)
        self.objects.delete(lease.name)
        return new

    def holds(self, lease: Lease) -> bool:
        """Whether nobody has taken it over. Raises UserError where the store cannot be read."""
        mine, later = self._read(lease.task, lease.number), self._read(lease.task, lease.number + 1)
        return (mine or {}).get("token") == lease.token and (later or {}).get("over") != lease.token

    def check(self, lease: Lease) -> None:
        """Raises LostError where another process has taken it over."""
        if not self.holds(lease):
            raise LostError(f"another process has taken over {lease.task}")

    def give_back(self, lease: Lease) -> None:
        """End it, if it is still this one's."""
        with self._lock:
            self._held.pop(lease.name, None)
        self._since.pop(lease.task, None)
        self._progress.pop(lease.task, None)
        try:
            if self.holds(lease):
                self.objects.delete(lease.name)
        except UserError:
            _left.add(lease.token)

    def holder(self, task: str) -> str:
        """In words, who has a task; "" where nobody does."""
        last = max(self._numbers(task), default=0)
        found = self._read(task, last) if last else None
        return described(found) if found else ""

    def stale(self) -> list[str]:
        """The names of the leases of all tasks whose process is gone from this machine."""
        names = self.objects.names("leases/")
        return [name for name in names if (found := self._at(name)) is not None and _is_gone(found)]

    def live(self) -> list[str]:
        """The tasks that somebody may be working on."""
        stale = set(self.stale())
        return [_task(name) for name in self.objects.names("leases/") if name not in stale]

    def holdings(self) -> list[Holding]:
        """All leases there are, by task; nothing is changed."""
        last: dict[str, Holding] = {}
        for name in sorted(self.objects.names("leases/"), key=_number):
            if (found := self._at(name)) is not None:
                last[_task(name)] = _holding(_task(name), found)
        return [last[task] for task in sorted(last)]

    def _numbers(self, task: str) -> list[int]:
        names = self.objects.names(f"leases/{task}.")
        found = (name.removeprefix(f"leases/{task}.").removesuffix(".json") for name in names)
        return [int(number) for number in found if number.isdigit()]

    def _read(self, task: str, number: int) -> dict[str, Any] | None:
        return self._at(_name(task, number))

    def _at(self, name: str) -> dict[str, Any] | None:
        for _ in range(_LOOKS):
            try:
                found = _parsed(self.objects.read(name))
            except FileNotFoundError:
                return None
            if found:
                return found
            time.sleep(0.01)  # its holder is writing it
        return {}  # torn: nobody's, until it has been silent for long enough

    def _is_silent(self, task: str, holder: dict[str, Any]) -> bool:
        now = time.monotonic()
        seen, since = self._watched.get(task, (None, now))
        if seen != holder:
            since = now
        self._watched[task] = (holder, since)
        return now - since >= EXPIRES

    def _content(self, lease: Lease, over: dict[str, Any] | None = None) -> bytes:
        told = {
            **this_process(),
            "token": lease.token,
            "over": (over or {}).get("token"),
            "beat": self._beats,
            "at": _now(),
            "since": self._since.get(lease.task),
        }
        if (progress := self._progress.get(lease.task)) is not None:
            told["progress"] = asdict(progress)
        return json.dumps(told).encode()

    def _beat(self, lease: Lease, found: bytes) -> bytes | None:
        return self._content(lease) if _parsed(found).get("token") == lease.token else None

    def _keep_alive(self, over: threading.Event) -> None:
        while not over.wait(BEAT):
            self._beats += 1
            for lease in list(self._held.values()):
                # A disk that is full or a server that is away now may be back at the next beat.
                with suppress(UserError):
                    if self.holds(lease):
                        # Never made anew: frozen here until another process had taken it over and was done, this one
                        # would have it again.
                        self.objects.update(lease.name, partial(self._beat, lease))


def _parsed(content: bytes) -> dict[str, Any]:
    """What a lease says; nothing where that is torn."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _name(task: str, number: int) -> str:
    return f"leases/{task}.{number}.json"


def _task(name: str) -> str:
    return name.removeprefix("leases/").removesuffix(".json").rpartition(".")[0]


def _number(name: str) -> int:
    digits = name.removesuffix(".json").rpartition(".")[2]
    return int(digits) if digits.isdigit() else 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _holding(task: str, found: dict[str, Any]) -> Holding:
    told = found.get("progress")
    progress = None
    if isinstance(told, dict):
        with suppress(KeyError, TypeError, ValueError):
            total = told["total"]
            progress = Progress(str(told["what"]), float(told["done"]), None if total is None else float(total))
    return Holding(task, found, _time(found.get("since")), _time(found.get("at")), progress, _is_gone(found))


def _time(text: object) -> datetime | None:
    """Raises nothing: a lease may be torn."""
    with suppress(TypeError, ValueError):
        found = datetime.fromisoformat(text)  # type: ignore[arg-type]
        return found if found.tzinfo else None
    return None


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether nobody works on it: its process has ended, or could not give it back."""
    return holder.get("token") in _left or is_gone(holder)
