"""What each plug-in says of itself: ours loaded here, those of other packages in processes of their own.

A package that somebody else wrote may do anything when it is imported. Here it can neither stop a listing nor delay
it for long: it is named as broken.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bench.config import Kind
from bench.contracts import Budget, Costed, Described, Span, Tunable, UserError
from bench.plugins.entry_points import Entry, defaults_of, entries, foreign
from bench.runtime.isolation import LostError, isolated

SECONDS = 20.0
"""A foreign plug-in that takes longer than this to import counts as broken: torch takes 3, and 10 on a busy machine."""


@dataclass(frozen=True)
class Listed:
    """A plug-in in words.

    Attributes:
        problem: see `bench.plugins.entry_points.Entry`.
        summary: first line of the class's docstring.
        parameters: name -> default as Python writes it, ``"(required)"`` where there is none.
        description: fields of `bench.contracts.Description`, what a tuning searches, the declared cost; empty unless
            asked for and there.
    """

    name: str
    problem: str = ""
    summary: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)


def catalogue(kind: Kind, *, describe: bool = False) -> list[Listed]:
    """All plug-ins of a kind, sorted by name.

    Args:
        describe: with `Listed.description`, for which their networks are built, without computing anything.
    """
    strangers = foreign(kind)
    found = [_ours(entry, describe) for entry in entries(kind, without=strangers).values()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found += pool.map(lambda name: _foreign(kind, name, describe), strangers)
    return sorted(found, key=lambda listed: listed.name)


def _ours(entry: Entry, describe: bool) -> Listed:
    *_, last = _steps(entry, describe)
    return last


def _foreign(kind: Kind, name: str, describe: bool) -> Listed:
    listed = Listed(name)
    try:
        for step in isolated(_load, kind, name, describe, seconds=SECONDS, quiet=True):
            listed = step
    except (LostError, UserError) as problem:
        return replace(listed, problem=f"broken: {problem}")
    return listed


def _load(kind: Kind, name: str, describe: bool) -> Iterator[Listed]:
    yield Listed(name)  # from here on the time counts that the plug-in takes, and not our own imports
    (entry,) = entries(kind, only=name).values()
    yield from _steps(entry, describe)


def _steps(entry: Entry, describe: bool) -> Iterator[Listed]:
    listed = Listed(entry.name, entry.problem, entry.summary, _parameters(entry))
    yield listed
    if describe and not entry.problem:
        yield replace(listed, description=_description(entry.factory, listed.parameters))


def _description(factory: Any, parameters: dict[str, str]) -> dict[str, Any]:
    described = isinstance(factory, type) and issubclass(factory, Described)
    found = asdict(factory().describe()) if described and "(required)" not in parameters.values() else {}
    if isinstance(factory, Tunable):
        found["tune searches"] = ", ".join(
            f"{name} {searched(values)}" for name, values in factory.search_space.items()
        )
    if isinstance(factory, Costed):
        found["cost at most"] = cost(factory.cost)
    return found


def cost(declared: Budget) -> str:
    """A declared cost in words."""
    return f"{declared.seconds:g} s, {declared.memory_mb:g} MiB for 512 x 512 on one core"


def searched(values: Span | tuple[Any, ...]) -> str:
    """What a tuning may give a parameter, in words."""
    if isinstance(values, Span):
        return f"{values.low:g}..{values.high:g}" + (" (log)" if values.log else "")
    return "|".join(str(value) for value in values)


def _parameters(entry: Entry) -> dict[str, str]:
    if entry.factory is None:
        return {}
    required = inspect.Parameter.empty
    return {
        name: "(required)" if default is required else repr(default) for name, default in defaults_of(entry).items()
    }
