"""What holds for everything that gives maps, bases and refiners alike."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from bench.conformance.material import Case, hard, ordinary, sample, scene
from bench.conformance.report import Check, ContractError, Remark
from bench.contracts import GoesByName, PartialBase, ProbabilityMap, UserError
from bench.plugins.outputs import check_output

ROUNDING = 1e-4
"""How much a map may differ where images are computed together: sums in another order, and no more."""


class Subject(Protocol):
    """A plug-in under test."""

    @property
    def ready(self) -> Any:
        """One that is fitted, where it learns."""
        ...

    def another(self) -> Any:
        """A second one of the same seed, ready like the first."""
        ...

    def apply(self, instance: Any, cases: Sequence[Case]) -> list[ProbabilityMap]:
        """What the instance makes of the cases, called once."""
        ...


def map_checks(subject: Subject) -> Iterator[Check]:
    """Shape, range and type on ordinary and hard cases; repeatability; inputs left as they are; pickling."""
    yield Check("ordinary image", lambda: _valid(subject, ordinary()), vital=True)
    for case in hard():
        yield Check(case.name, partial(_valid, subject, case))
    yield Check("several at once", lambda: _several(subject))
    yield Check("same call twice", lambda: _twice(subject))
    yield Check("another instance", lambda: _another(subject))
    yield Check("inputs unchanged", lambda: _unchanged(subject))
    yield Check("read-only inputs", lambda: _read_only(subject))


def pickled(subject: Subject) -> str:
    """Whether it goes to another process whole. Raises whatever pickling raises."""
    copy = pickle.loads(pickle.dumps(subject.ready))
    _same(_first(subject, copy), _first(subject, subject.ready), "unpickled, it gives another map")
    return "and unpickled, it gives the same map"


def narrowed(subject: Subject) -> str:
    """Whether what has a file for each sample gives for one of them, elsewhere, what the whole does."""
    whole = _first(subject, subject.ready)
    part, files = subject.ready.of_samples([sample(ordinary()).id])
    if gone := [path for path in files if not path.is_file()]:
        raise ContractError(f"of_samples() names what is no file: {gone[0]}")
    _same(_first(subject, pickle.loads(pickle.dumps(part))), whole, "of_samples() gives another map")
    return "as the whole"


def outputs(subject: Subject, instance: Any, cases: Sequence[Case]) -> list[ProbabilityMap]:
    """The maps of the cases, each checked. Raises `ContractError` or UserError where one is none."""
    found = subject.apply(instance, cases)
    if len(found) != len(cases):
        raise ContractError(f"{len(found)} maps of {len(cases)} images")
    for probs, case in zip(found, cases, strict=True):
        check_output(probs, case.mask.shape, case.name)
    return found


def covers_anything(plugin: PartialBase | GoesByName) -> bool:
    """Whether it has maps of the images here."""
    asked = sample(ordinary()).id
    try:
        return list(plugin.covered([asked])) == [asked]
    except UserError:
        return False


def covered(plugin: PartialBase | GoesByName) -> str:
    """Of one that has maps of its own samples alone, nothing else can be asked with images of ours."""
    asked = [sample(ordinary()).id, sample(hard()[0]).id]
    try:
        found = list(plugin.covered(asked))
    except UserError as error:
        return Remark(f"no maps of the images here, so none was checked: {error.what}")
    if found != [id_ for id_ in asked if id_ in found]:
        raise ContractError(f"covered() gave {found}, which are not those of {asked} in their order")
    return Remark("no maps of the images here, so none was checked")


def difference(one: ProbabilityMap, other: ProbabilityMap) -> float:
    """The largest difference of two maps of one size."""
    return float(np.abs(one.astype(np.float64) - other).max())


def _first(subject: Subject, instance: Any) -> ProbabilityMap:
    return outputs(subject, instance, [ordinary().copy()])[0]


def _same(one: ProbabilityMap, other: ProbabilityMap, says: str) -> None:
    if not np.array_equal(one, other):
        raise ContractError(f"{says}: up to {difference(one, other):.2g} apart")


def _valid(subject: Subject, case: Case) -> str:
    (probs,) = outputs(subject, subject.ready, [case.copy()])
    height, width = probs.shape
    return f"{width}x{height}, {probs.min():.3f} to {probs.max():.3f}"


def _several(subject: Subject) -> str:
    cases = [ordinary(), scene(33, 47), scene(80, 64), scene(64, 48, seed=1)]
    together = outputs(subject, subject.ready, [case.copy() for case in cases])
    alone = [outputs(subject, subject.ready, [case.copy()])[0] for case in cases]
    apart = max(difference(one, other) for one, other in zip(together, alone, strict=True))
    if apart > ROUNDING:
        raise ContractError(f"not what one at a time gives: up to {apart:.2g} apart")
    return "as one at a time" + (f", to {apart:.1g}" if apart else "")


def _twice(subject: Subject) -> str:
    _same(_first(subject, subject.ready), _first(subject, subject.ready), "another map the second time")
    return "the same map"


def _another(subject: Subject) -> str:
    _same(_first(subject, subject.ready), _first(subject, subject.another()), "with the same seed, another map")
    return "with the same seed, the same map"


def _unchanged(subject: Subject) -> str:
    case, before = ordinary().copy(), ordinary()
    (probs,) = outputs(subject, subject.ready, [case])
    for name in ("image", "probs", "mask"):
        if not np.array_equal(getattr(case, name), getattr(before, name)):
            raise ContractError(f"the call wrote into its input: {name}")
    if np.shares_memory(probs, case.probs):
        raise ContractError("the result is the input map itself, not a new one")
    return ""


def _read_only(subject: Subject) -> str:
    outputs(subject, subject.ready, [ordinary().copy(writable=False)])
    return ""
