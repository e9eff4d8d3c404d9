"""The contract of `bench.contracts.Refiner`, as checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.conformance.cost import cost_check
from bench.conformance.declared import attribute, making_checks, space_check
from bench.conformance.maps import covered, covers_anything, map_checks, narrowed, outputs, pickled
from bench.conformance.material import Case, TinyMaps, brightness, hard, ordinary, sample
from bench.conformance.report import Check, ContractError, Remark
from bench.contracts import DECISION, AsksBase, GoesByName, OfSamples, Oracle, ProbabilityMap
from bench.plugins.variants import Variant


class RefinerSubject:
    """A refiner under test (`bench.conformance.maps.Subject`).

    Args:
        variant: what to make.
        workdir: an empty folder, for what it learns.
    """

    def __init__(self, variant: Variant, workdir: Path) -> None:
        self.variant, self.workdir = variant, workdir

    @cached_property
    def ready(self) -> Any:
        """The first one, fitted."""
        return self._fitted(TinyMaps())

    def another(self) -> Any:
        """A second one; where it learns, it starts from what the first left."""
        return self._fitted(TinyMaps())

    def apply(self, instance: Any, cases: Sequence[Case]) -> list[ProbabilityMap]:
        """`refine`, or for an oracle `refine_knowing`."""
        images, maps = [case.image for case in cases], [case.probs for case in cases]
        if isinstance(instance, Oracle):
            return instance.refine_knowing(images, maps, [case.mask for case in cases])
        if isinstance(instance, GoesByName):
            return instance.refine_named([sample(case).id for case in cases], images, maps)
        found: list[ProbabilityMap] = instance.refine(images, maps)
        return found

    def refit(self) -> str:
        """A second fit on the first one's folder. Raises `ContractError` where it gives other maps."""
        first = outputs(self, self.ready, [ordinary().copy()])[0]
        val = TinyMaps()
        second = outputs(self, self._fitted(val), [ordinary().copy()])[0]
        if not np.array_equal(first, second):
            raise ContractError("fitted again from the same folder, it gives another map")
        if val.samples.reads:
            return Remark("the same map, but val was read again: leave what was learned in workdir and load it")
        return "the same map, loaded from workdir"

    def _fitted(self, val: TinyMaps) -> Any:
        instance = self.variant.make(device="cpu", seed=0)
        if isinstance(instance, AsksBase):
            instance.ask(brightness)
        if instance.trainable:
            instance.fit(val, self.workdir)
        return instance


def refiner_checks(variant: Variant, workdir: Path) -> Iterator[Check]:
    """All checks of a refiner whose class is in order (`bench.conformance.declared.parameter_checks`)."""
    subject = RefinerSubject(variant, workdir)
    yield from making_checks(variant)
    yield Check("declarations", lambda: _declarations(subject))
    if variant.parameters:
        yield space_check(variant)
    yield Check("fit", lambda: _fit(subject), vital=True)
    if isinstance(subject.ready, GoesByName) and not covers_anything(subject.ready):
        yield Check("covered", lambda: covered(subject.ready))
        return
    yield from map_checks(subject)
    if isinstance(subject.ready, OfSamples):
        yield Check("a sample's part", lambda: narrowed(subject))
    yield Check("decision on hard maps", lambda: _decisions(subject))
    yield Check("pickling", lambda: pickled(subject))
    if subject.ready.trainable:
        yield Check("fit again", subject.refit)
    if not isinstance(subject.ready, GoesByName):  # what its maps cost was spent elsewhere
        yield cost_check(subject, variant)


def _declarations(subject: RefinerSubject) -> str:
    instance = subject.variant.make(device="cpu", seed=0)
    learns = attribute(instance, "trainable", bool)
    told = attribute(instance, "uses_ground_truth", bool)
    if told != hasattr(instance, "refine_knowing"):
        raise ContractError("uses_ground_truth and refine_knowing belong together: an oracle has both, others neither")
    parts = ["learns from val" if learns else "learns nothing", "is told the ground truth" if told else ""]
    return ", ".join(part for part in parts if part)


def _fit(subject: RefinerSubject) -> str:
    return "on six tiny images" if subject.ready.trainable else "nothing to learn"


def _decisions(subject: RefinerSubject) -> str:
    cases = [case for case in hard() if case.name in ("empty map", "full map")]
    changed = []
    for case, probs in zip(cases, outputs(subject, subject.ready, [case.copy() for case in cases]), strict=True):
        share = float(((probs >= DECISION) != (case.probs >= DECISION)).mean())
        if share:
            changed.append(f"{share:.0%} of an {case.name}" if case.name[0] == "e" else f"{share:.0%} of a {case.name}")
    if changed:
        return Remark(f"changes {' and '.join(changed)}")
    return "empty stays empty, full stays full"
