"""What a plug-in's class says before anything is computed: parameters, requirements, search space."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench.conformance.report import Check, ContractError, Remark
from bench.contracts import Span, UserError
from bench.plugins.entry_points import FILLED_IN, Entry, defaults_of, hints_of, takes_refiner
from bench.plugins.variants import Variant

DRAWS = 16
"""Random combinations of the search space that are constructed, beside its ends."""

STAND_IN = "threshold"
"""What a plug-in is checked with that has to be given a refiner: it learns, and costs next to nothing."""


def stand_ins(entry: Entry) -> dict[str, str]:
    """The parameters without a default that are refiners, each with a refiner's name."""
    hints = hints_of(entry.factory)
    required = [name for name, default in defaults_of(entry).items() if default is inspect.Parameter.empty]
    return {name: STAND_IN for name in required if takes_refiner(hints[name])}


def parameter_checks(entry: Entry) -> Iterator[Check]:
    """The constructor, and what `bench.plugins` reads off the class."""
    yield Check("parameters", lambda: _parameters(entry), vital=True)
    yield Check("docstring", lambda: _docstring(entry))
    if entry.kind != "dataset":
        yield Check("requirements", lambda: _requirements(entry.factory))


def making_checks(variant: Variant) -> Iterator[Check]:
    """Whether it can be made, and what it makes of wrong values."""
    yield Check("construction", lambda: _construction(variant), vital=True)
    numbers = [name for name, value in variant.parameters.items() if type(value) in (int, float)]
    if numbers:
        yield Check("wrong values", lambda: _wrong_values(variant, numbers))


def space_check(variant: Variant) -> Check:
    """Whether every combination of the search space makes a refiner."""
    return Check("search space", lambda: _space(variant))


def attribute(owner: Any, name: str, *types: type) -> Any:
    """The attribute. Raises `ContractError` where it is missing or of another type."""
    if not hasattr(owner, name):
        raise ContractError(f"the class has no {name}: see bench.contracts")
    value = getattr(owner, name)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ContractError(f"{name} is {value!r}, which is no {' or '.join(kind.__name__ for kind in types)}")
    return value


def _parameters(entry: Entry) -> str:
    factory = entry.factory
    hints = hints_of(factory)
    named = []
    for parameter in inspect.signature(factory).parameters.values():
        name = parameter.name
        if parameter.kind is not parameter.KEYWORD_ONLY:
            raise ContractError(f"{name!r} is not keyword-only: put a * before the first parameter")
        if name in FILLED_IN[entry.kind]:
            continue
        if name not in hints:
            raise ContractError(f"{name!r} has no annotation, so name[{name}=...] cannot be read")
        if takes_refiner(hints[name]):
            if parameter.default not in (parameter.empty, None):
                raise ContractError(f"the default of {name!r} can be None alone: it is a name that makes a refiner")
        elif parameter.default is not parameter.empty:
            _fits(name, hints[name], parameter.default)
        named.append(name + ("" if parameter.default is not parameter.empty else " (required)"))
    return ", ".join(named) or "none"


def _fits(name: str, hint: Any, default: Any) -> None:
    try:
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(default)
    except ValidationError as error:
        raise ContractError(
            f"the default {name}={default!r} does not fit its annotation: {error.errors()[0]['msg']}"
        ) from None


def _valid(hint: Any, value: Any) -> bool:
    try:
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError:
        return False
    return True


def _docstring(entry: Entry) -> str:
    if not entry.summary:
        return Remark("none: 'bench list' will show an empty line")
    return entry.summary


def _requirements(factory: Any) -> str:
    requires = attribute(factory, "requires", tuple)
    if not all(isinstance(name, str) for name in requires):
        raise ContractError(f"requires is {requires!r}; it must hold names of modules")
    attribute(factory, "extra", str)
    if attribute(factory, "version", int) < 1:
        raise ContractError("version must be 1 or more")
    return ", ".join(requires) or "none beyond the core install"


def _construction(variant: Variant) -> str:
    variant.make(device="cpu", seed=0)
    return variant.label


def _wrong_values(variant: Variant, numbers: list[str]) -> str:
    """Numbers that hardly any parameter can mean must be refused in the one form that errors have."""
    taken, hints = [], hints_of(variant.entry.factory)
    for name in numbers:
        wrong = -(10**6) if type(variant.parameters[name]) is int else math.nan
        if not _valid(hints[name], wrong):
            continue  # whoever writes name[key=value] is told so before the class is made
        try:
            variant.entry.factory(**{**variant.arguments(), name: wrong})
        except UserError:
            continue
        except Exception as error:
            raise ContractError(
                f"{name}={wrong} raises {type(error).__name__}; raise bench.contracts.UserError"
            ) from None
        taken.append(f"{name}={wrong}")
    if taken:
        return Remark(f"taken without complaint: {', '.join(taken)}")
    return "refused"


def _space(variant: Variant) -> str:
    space = getattr(variant.entry.factory, "search_space", None)
    if not space:
        return Remark("none: 'bench tune' cannot tune it")
    if variant.parameters.get("weights") != defaults_of(variant.entry).get("weights"):
        return Remark("weights are given, and may fix what can be searched without")
    if not isinstance(space, Mapping):
        raise ContractError(
            f"search_space is a {type(space).__name__}; it must be a mapping: parameter -> Span or choices"
        )
    values = {name: _values(name, choices, variant) for name, choices in space.items()}
    ends = itertools.islice(itertools.product(*([few[0], few[-1]] for few in values.values())), DRAWS)
    draw = np.random.default_rng(0)
    inside = [[few[draw.integers(len(few))] for few in values.values()] for _ in range(DRAWS)]
    for combination in [*ends, *inside]:
        chosen = dict(zip(values, combination, strict=True))
        try:
            variant.entry.factory(**{**variant.arguments(), **chosen})
        except UserError as error:
            raise ContractError(f"{chosen} is in the search space and refused: {error}") from None
    return ", ".join(values)


def _values(name: str, choices: Any, variant: Variant) -> list[Any]:
    """Some values of one parameter, its ends first and last."""
    if name not in variant.parameters:
        raise ContractError(f"{name!r} is in search_space and no parameter")
    if name in variant.nested:
        raise ContractError(f"{name!r} is in search_space and a refiner: only its own parameters can be searched")
    if isinstance(choices, tuple) and choices:
        return list(choices)
    if not isinstance(choices, Span):
        raise ContractError(f"search_space[{name!r}] is {choices!r}, neither a Span nor a tuple of choices")
    low, high = choices.low, choices.high
    if not low < high or (choices.log and low <= 0):
        raise ContractError(f"search_space[{name!r}] is {choices!r}: low < high, and low > 0 where log, is needed")
    inside = np.geomspace(low, high, 5) if choices.log else np.linspace(low, high, 5)
    whole = isinstance(low, int) and isinstance(high, int)
    return [low, *(round(value) if whole else float(value) for value in inside[1:-1]), high]
