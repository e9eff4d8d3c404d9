"""The contract of `bench.contracts.BaseNetwork`, as checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.conformance.declared import attribute, making_checks
from bench.conformance.maps import covered, covers_anything, map_checks, narrowed, outputs, pickled
from bench.conformance.material import Case, TinySplit, ordinary, sample
from bench.conformance.report import Check, ContractError, Remark
from bench.contracts import OfSamples, PartialBase, ProbabilityMap
from bench.plugins.variants import Variant
from bench.runtime.failures import summarised


class BaseSubject:
    """A base under test (`bench.conformance.maps.Subject`).

    Args:
        variant: what to make.
        workdir: an empty folder, for what it learns.
    """

    def __init__(self, variant: Variant, workdir: Path) -> None:
        self.variant, self.workdir = variant, workdir

    @cached_property
    def ready(self) -> Any:
        """The first one, fitted."""
        return self.another()

    def another(self) -> Any:
        """A second one; where it learns, it starts from what the first left."""
        instance = self.variant.make(device="cpu", seed=0)
        if instance.trainable:
            instance.fit(TinySplit("train"), TinySplit("val"), self.workdir)
        return instance

    def apply(self, instance: Any, cases: Sequence[Case]) -> list[ProbabilityMap]:
        """`predict`."""
        found: list[ProbabilityMap] = instance.predict([sample(case) for case in cases])
        return found


def base_checks(variant: Variant, workdir: Path) -> Iterator[Check]:
    """All checks of a base whose class is in order (`bench.conformance.declared.parameter_checks`)."""
    subject = BaseSubject(variant, workdir)
    yield from making_checks(variant)
    yield Check("declarations", lambda: _declarations(subject))
    yield Check("fit", lambda: _fit(subject), vital=True)
    if isinstance(subject.ready, PartialBase) and not covers_anything(subject.ready):
        yield Check("covered", lambda: covered(subject.ready))
        return
    yield from map_checks(subject)
    if isinstance(subject.ready, OfSamples):
        yield Check("a sample's part", lambda: narrowed(subject))
    yield Check("blind to the mask", lambda: _blind(subject))
    yield Check("pickling", lambda: _pickling(subject))


def _declarations(subject: BaseSubject) -> str:
    learns = attribute(subject.variant.make(device="cpu", seed=0), "trainable", bool)
    return "learns from train" if learns else "learns nothing"


def _fit(subject: BaseSubject) -> str:
    return "on six tiny images" if subject.ready.trainable else "nothing to learn"


def _blind(subject: BaseSubject) -> str:
    case = ordinary()
    knowing = outputs(subject, subject.ready, [case])[0]
    for mask in (~case.mask, np.zeros_like(case.mask)):
        if not np.array_equal(outputs(subject, subject.ready, [replace(case, mask=mask)])[0], knowing):
            raise ContractError("with another ground truth, another map: predict() must not look at sample.mask")
    return ""


def _pickling(subject: BaseSubject) -> str:
    try:
        return pickled(subject)
    except ContractError:
        raise
    except Exception as error:
        return Remark(f"not possible: {summarised(error)}")
