"""The entry points of the groups ``bench.datasets``, ``bench.bases``, ``bench.refiners`` and ``bench.metrics``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Collection
from dataclasses import dataclass, is_dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any, TypeAlias, get_args, get_type_hints

from bench.config import KINDS, Kind, Settings, nearest, unknown
from bench.contracts import AsksBase, BaseNetwork, Metric, Oracle, Plugin, Refiner, SearchSpace, Tunable, UserError
from bench.plugins.chain import class_for
from bench.runtime.environment import DISTRIBUTION
from bench.runtime.failures import summarised
from bench.store import SEQUENCE

FILLED_IN: dict[Kind, tuple[str, ...]] = {
    "dataset": ("root",),
    "base": ("device", "seed"),
    "refiner": ("device", "seed"),
    "metric": (),
}
"""Constructor arguments that the harness gives; they are no parameters of a variant."""

TUNING = {"tune", "objective"}
"""Parameters that every refiner with a search space takes: trials, and the metric that decides between them."""


@dataclass(frozen=True)
class Entry:
    """An entry point, loaded where it can be. Pickled by its name.

    Attributes:
        problem: why it cannot be used, e.g. ``"unavailable: pip install refinebench[densecrf]"``; else "".
    """

    kind: Kind
    name: str
    factory: Any = None
    problem: str = ""

    @property
    def summary(self) -> str:
        """First line of the class's docstring; "" where it has none but that of the contract it derives from."""
        written = (inspect.getdoc(self.factory) or "") if self.factory else ""
        contracts = (inspect.getdoc(contract) for contract in (BaseNetwork, Refiner, Oracle, Metric))
        return "" if written in contracts else written.partition("\n")[0]

    def __reduce__(self) -> tuple[Any, tuple[Kind, str]]:
        return _Sent, (self.kind, self.name)


class _Sent(Entry):
    """An entry in the process it was sent to, loaded once its class is asked for.

    A stage imports what it uses and no more: the memory that it measures is the refiner's, not that of a base whose
    maps it reads.
    """

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(kind, name)
        del self.__dict__["factory"]

    @cached_property
    def factory(self) -> Any:
        return usable(self.kind, self.name, "another process").factory


class SequenceEntry(Entry):
    """What stands for the entry point of a sequence of refiners, which has none.

    Args:
        parts: the entries of the refiners.
    """

    def __init__(self, parts: tuple[Entry, ...]) -> None:
        super().__init__("refiner", SEQUENCE)
        object.__setattr__(self, "parts", parts)
        del self.__dict__["factory"]

    @cached_property
    def factory(self) -> Any:
        return class_for(entry.factory for entry in self.__dict__["parts"])

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return SequenceEntry, (self.__dict__["parts"],)


def names(kind: Kind) -> set[str]:
    """Names of the plug-ins of a kind; nothing is loaded."""
    return set(_found(kind).names)


def entries(kind: Kind, *, only: str = "", without: Collection[str] = ()) -> dict[str, Entry]:
    """Plug-ins of a kind by name; one that cannot be imported or lacks a package says so in `Entry.problem`.

    Args:
        only: load the one of this name; "" loads all.
        without: names to leave out. What an import does, it does to this process: see `bench.plugins.catalogue`.
    """
    wanted = sorted(e for e in _found(kind) if only in ("", e.name) and e.name not in without)
    return {entry.name: _load(kind, entry) for entry in wanted}


def foreign(kind: Kind) -> list[str]:
    """Names of the plug-ins of a kind that other packages brought, sorted; nothing is loaded."""
    return sorted({entry.name for entry in _found(kind) if entry.dist is None or entry.dist.name != DISTRIBUTION})


def usable(kind: Kind, name: str, where: str, others: Collection[str] = ()) -> Entry:
    """The plug-in of that name.

    Args:
        where: the option or key that names it, for errors.
        others: names that could stand there, too.

    Raises:
        UserError: there is none (the nearest is told), it lacks a package, or it cannot be imported.
    """
    if name not in names(kind):
        raise unknown(kind, name, {*names(kind), *others}, where)
    entry = entries(kind, only=name)[name]
    if entry.problem.startswith("unavailable: "):
        fix = entry.problem.removeprefix("unavailable: ")
        raise UserError(f"{kind} {name!r} needs a package that is not installed", where, fix)
    if entry.problem:
        raise UserError(f"{kind} {name!r} is {entry.problem}", where, "repair or uninstall that plug-in")
    return entry


def defaults_of(entry: Entry) -> dict[str, Any]:
    """All parameters with their defaults; `inspect.Parameter.empty` where there is none."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(entry.factory).parameters.items()
        if name not in FILLED_IN[entry.kind] and parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def hints_of(factory: Any) -> dict[str, Any]:
    """The annotations of a plug-in's parameters, by name."""
    # A dataclass inherits fields whose annotations are names of the parent's module.
    hints = get_type_hints(factory if is_dataclass(factory) else factory.__init__)
    return {name: hint for name, hint in hints.items() if name != "return"}


def takes_refiner(hint: Any) -> bool:
    """Whether a parameter of this annotation is named as a refiner is: ``Refiner``, or ``Refiner | None``."""
    return hint is Refiner or set(get_args(hint)) == {Refiner, type(None)}


def search_space(entry: Entry) -> SearchSpace:
    """What a tuning of it may search; empty where it cannot be tuned."""
    # In a search there is no base to ask.
    tunable = isinstance(entry.factory, Tunable) and not isinstance(entry.factory, AsksBase)
    return entry.factory.search_space if tunable else {}


def check_parameters(settings: Settings) -> None:
    """Raises UserError where ``parameters`` are set for what is no plug-in, or are none of that plug-in's."""
    where = "--set or [parameters]"
    for name, keys in settings.parameters.items():
        found = [entries(kind, only=name)[name] for kind in KINDS if name in names(kind)]
        if not found:
            raise unknown("plug-in", name, set().union(*(names(kind) for kind in KINDS)), where)
        if any(entry.factory is None for entry in found):
            continue  # it cannot be imported, which whoever uses it is told
        known = {key for entry in found for key in _settable(entry)}
        for key in keys:
            if key not in known:
                raise UserError(f"{name!r} has no parameter {key!r}", f"{where}: {name}.{key}", nearest(key, known))


def _settable(entry: Entry) -> set[str]:
    """Its parameters, and of a refiner that can be tuned those of the tuning."""
    return defaults_of(entry).keys() | (TUNING if entry.kind == "refiner" and search_space(entry) else set())


Installed: TypeAlias = tuple[tuple[str, int], ...]
"""The folders that packages are looked for in, and when each was changed last."""


def _installed() -> Installed:
    def changed(place: str) -> int:
        try:
            return Path(place).stat().st_mtime_ns
        except OSError:
            return 0

    return tuple((place, changed(place)) for place in sys.path)


def _found(kind: Kind) -> EntryPoints:
    return _scanned(f"bench.{kind}s", _installed())


@lru_cache(maxsize=16)
def _scanned(group: str, installed: Installed) -> EntryPoints:
    """Those of all packages, which are read once: until one is installed or removed."""
    return entry_points(group=group)


def _load(kind: Kind, entry: EntryPoint) -> Entry:
    try:
        factory = entry.load()
        requires, extra = getattr(factory, "requires", Plugin.requires), getattr(factory, "extra", Plugin.extra)
        missing = [module for module in requires if importlib.util.find_spec(module) is None]
    except (Exception, SystemExit) as error:
        # Whatever a foreign module does on import must not take the harness down.
        return Entry(kind, entry.name, problem=f"broken: {summarised(error)}")
    if missing:
        package = f"refinebench[{extra}]" if extra else " ".join(missing)
        return Entry(kind, entry.name, factory, f"unavailable: pip install {package}")
    return Entry(kind, entry.name, factory)
