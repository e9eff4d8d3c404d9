"""The contract of `bench.contracts.DatasetSource`, as checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.conformance.declared import attribute
from bench.conformance.report import Check, ContractError, Remark
from bench.contracts import SPLITS, Dataset, Finding, Sample, Split
from bench.plugins.variants import Variant

FEW = 500
"""A dataset of up to so many samples is read whole, by its own `verify`."""


class DatasetSubject:
    """A dataset under test.

    Args:
        variant: what to make.
        root: its folder.
    """

    def __init__(self, variant: Variant, root: Path) -> None:
        self.variant, self.root = variant, root

    def make(self) -> Any:
        """A new source."""
        return self.variant.make(root=self.root)

    @cached_property
    def source(self) -> Any:
        """The first source."""
        return self.make()

    @cached_property
    def splits(self) -> dict[Split, Dataset]:
        """Its splits."""
        return {split: self.source.split(split) for split in SPLITS}


def dataset_checks(variant: Variant, root: Path) -> Iterator[Check]:
    """All checks of a dataset whose class is in order (`bench.conformance.declared.parameter_checks`)."""
    subject = DatasetSubject(variant, root)
    yield Check("construction", lambda: _lazy(subject), vital=True)
    yield Check("splits", lambda: _splits(subject), vital=True)
    yield Check("ids", lambda: _ids(subject))
    yield Check("samples", lambda: _samples(subject), vital=True)
    yield Check("same sample twice", lambda: _twice(subject))
    yield Check("fingerprint", lambda: _fingerprint(subject))
    yield Check("completeness", lambda: _completeness(subject))
    yield Check("verify", lambda: _verify(subject))


def _lazy(subject: DatasetSubject) -> str:
    subject.variant.make(root=Path("/no/such/folder"))
    attribute(subject.source, "name", str)
    return "reads nothing"


def _splits(subject: DatasetSubject) -> str:
    for split, dataset in subject.splits.items():
        if dataset.split != split:
            raise ContractError(f"the split {split} says that it is {dataset.split!r}")
        if len(dataset) != len(dataset.ids):
            raise ContractError(f"the split {split} has {len(dataset.ids)} ids and a length of {len(dataset)}")
    counts = ", ".join(f"{len(dataset)} {split}" for split, dataset in subject.splits.items())
    empty = [split for split, dataset in subject.splits.items() if not len(dataset)]
    if len(empty) == len(SPLITS):
        raise ContractError("all three are empty")
    if empty:
        return Remark(f"{counts}: what needs {' or '.join(empty)} cannot run on it")
    return counts


def _ids(subject: DatasetSubject) -> str:
    seen: dict[str, Split] = {}
    for split, dataset in subject.splits.items():
        for id_ in dataset.ids:
            if not isinstance(id_, str) or any(part in ("", ".", "..") for part in id_.split("/")):
                raise ContractError(f"{id_!r} cannot name a file")
            if id_ in seen:
                raise ContractError(f"{id_!r} is in {seen[id_]}, and once more in {split}")
            seen[id_] = split
    return "unique, no sample in two splits"


def _some(subject: DatasetSubject) -> Iterator[tuple[Dataset, int]]:
    """First, middle and last of each split."""
    for dataset in subject.splits.values():
        for index in sorted({0, len(dataset) // 2, len(dataset) - 1}) if len(dataset) else ():
            yield dataset, index


def _samples(subject: DatasetSubject) -> str:
    sizes = set()
    for dataset, index in _some(subject):
        found, id_ = dataset[index], dataset.ids[index]
        if found.id != id_:
            raise ContractError(f"number {index} of {dataset.split} is {found.id!r}, and {id_!r} in ids")
        for part in (found, *found.support):
            sizes.add(_size(part, id_))
    width, height = min(sizes)
    return f"{width}x{height}" + (f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else "")


def _size(sample: Sample, id_: str) -> tuple[int, int]:
    image, mask = sample.image, sample.mask
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ContractError(f"{id_!r}: the image is {image.dtype} {image.shape}, not uint8 (H, W, 3)")
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ContractError(f"{id_!r}: the mask is {mask.dtype} {mask.shape}, not bool (H, W)")
    if image.shape[:2] != mask.shape:
        raise ContractError(f"{id_!r}: image {image.shape[:2]} and mask {mask.shape} differ in size")
    return mask.shape[1], mask.shape[0]


def _twice(subject: DatasetSubject) -> str:
    other = subject.make()
    for dataset, index in _some(subject):
        one, two = dataset[index], other.split(dataset.split)[index]
        if not (np.array_equal(one.image, two.image) and np.array_equal(one.mask, two.mask)):
            raise ContractError(f"{one.id!r} is not the same when it is read again")
    return ""


def _fingerprint(subject: DatasetSubject) -> str:
    other = subject.make()
    prints: dict[str, Split] = {}
    for split, dataset in subject.splits.items():
        found = dataset.fingerprint()
        if not isinstance(found, str) or not found:
            raise ContractError(f"{found!r} is no hexadecimal digest")
        int(found, 16)
        if other.split(split).fingerprint() != found:
            raise ContractError(f"that of {split} is another one each time, so nothing could be resumed")
        if len(dataset) and found in prints:
            raise ContractError(f"{prints[found]} and {split} have the same, with other samples")
        if len(dataset):
            prints[found] = split
    return ""


def _completeness(subject: DatasetSubject) -> str:
    expected, said = subject.source.expected, subject.source.completeness()
    if not isinstance(expected, Mapping) or not isinstance(said, str):
        raise ContractError("expected is a mapping, split -> number; completeness() a text")
    return said or "complete"


def _verify(subject: DatasetSubject) -> str:
    count = sum(len(dataset) for dataset in subject.splits.values())
    if count > FEW:
        return Remark(f"{count} samples are too many to read here: 'bench data verify' does")
    findings = subject.source.verify()
    if not all(isinstance(finding, Finding) for finding in findings):
        raise ContractError("verify() must give a list of bench.contracts.Finding")
    errors = [finding for finding in findings if finding.error]
    if errors:
        return Remark(f"{len(errors)} errors in the files, e.g. {errors[0].where}: {errors[0].message}")
    return f"{len(findings)} findings, none of them an error"
