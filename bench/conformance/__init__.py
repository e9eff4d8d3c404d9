"""Whether a plug-in keeps its contract (`bench.contracts`): for ``bench check``, and for a plug-in's own tests.

Each function here takes a class and parameters for it, runs every check, and raises AssertionError with the lines of
those that failed:

>>> from bench.conformance import check_refiner
>>> from bench.registry import load_refiner
>>> class_of_a_refiner = type(load_refiner("identity"))
>>> {line.what: line.detail for line in check_refiner(class_of_a_refiner)}["decision on hard maps"]
'empty stays empty, full stays full'
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.config import Kind, load
from bench.conformance.bases import base_checks
from bench.conformance.datasets import dataset_checks
from bench.conformance.declared import parameter_checks, stand_ins
from bench.conformance.metrics import metric_checks
from bench.conformance.refiners import refiner_checks
from bench.conformance.report import Check, Line, demand, results
from bench.plugins.entry_points import Entry, defaults_of, hints_of, takes_refiner
from bench.plugins.variants import Variant, resolve
from bench.store import VariantName

__all__ = ["Line", "check_base", "check_dataset", "check_metric", "check_refiner"]


def check_refiner(factory: type, **parameters: Any) -> list[Line]:
    """Check a refiner's class with the given parameters and its defaults for the others.

    A parameter that is a refiner is given by its name, ``"prn[size=64]"``; one that is required may be left out.

    Returns:
        The result of every check.

    Raises:
        AssertionError: names the checks that failed.
    """
    return _checked("refiner", factory, parameters)


def check_base(factory: type, **parameters: Any) -> list[Line]:
    """As `check_refiner`, for a base."""
    return _checked("base", factory, parameters)


def check_metric(factory: type, **parameters: Any) -> list[Line]:
    """As `check_refiner`, for a metric."""
    return _checked("metric", factory, parameters)


def check_dataset(factory: type, *, root: Path, **parameters: Any) -> list[Line]:
    """As `check_refiner`, for a dataset whose files lie in ``root``."""
    return _checked("dataset", factory, parameters, root)


def checks(variant: Variant, workdir: Path, root: Path) -> Iterator[Check]:
    """The checks of a plug-in whose class is in order.

    Args:
        workdir: an empty folder, for what the plug-in learns.
        root: the folder of a dataset; the other kinds have none.
    """
    if variant.kind == "refiner":
        return refiner_checks(variant, workdir)
    if variant.kind == "base":
        return base_checks(variant, workdir)
    if variant.kind == "metric":
        return metric_checks(variant)
    return dataset_checks(variant, root)


def _checked(kind: Kind, factory: type, parameters: dict[str, Any], root: Path = Path()) -> list[Line]:
    with tempfile.TemporaryDirectory() as folder:
        found = results(_checks(kind, factory, parameters, Path(folder), root))
        lines = [line for line in found if line.status != "begun"]
    demand(lines, factory.__name__)
    return lines


def _checks(kind: Kind, factory: type, parameters: dict[str, Any], workdir: Path, root: Path) -> Iterator[Check]:
    entry = Entry(kind, factory.__name__, factory)
    yield from parameter_checks(entry)
    name = VariantName(name=factory.__name__)
    given = defaults_of(entry) | stand_ins(entry) | parameters
    for key in (key for key, hint in hints_of(factory).items() if takes_refiner(hint) and given[key] is not None):
        given[key] = resolve("refiner", given[key], load(), f"{factory.__name__}({key}=...)")
    yield from checks(Variant(entry, name, given), workdir, root)
