"""The kinds of input, by name: a module each, with a `tests.fuzz.harness.Kind` called ``KIND``."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tests.fuzz.harness import Kind


def names() -> list[str]:
    return sorted(found.name for found in pkgutil.iter_modules(__path__))


def kind(name: str) -> Kind:
    found: Kind = import_module(f"{__name__}.{name}").KIND
    return found
