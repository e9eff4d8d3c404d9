"""The datasets found here: laying them out, the sizes of their splits, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import Settings
from bench.contracts import SPLITS, DatasetSource, Finding, Published, Split, TellsReading, UserError
from bench.datasets.prepare import Plan, check_room, is_unpacked, plan, unpack
from bench.plugins.catalogue import Listed, catalogue
from bench.plugins.entry_points import foreign
from bench.plugins.variants import Variant, resolve
from bench.redaction import printable
from bench.registry import load_dataset
from bench.runtime.ahead import in_order
from bench.runtime.archives import opened
from bench.runtime.files import building
from bench.runtime.isolation import LostError, isolated
from bench.runtime.progress import note, track

if TYPE_CHECKING:
    import pandas as pd

DATASET_SECONDS = 60.0
"""A foreign dataset that takes longer than this to list its splits counts as broken."""


def datasets(settings: Settings) -> list[dict[str, Any]]:
    """One row a dataset: its splits' sizes, and what its folder lacks."""
    strangers = foreign("dataset")
    return [_dataset(settings, listed, listed.name in strangers) for listed in catalogue("dataset")]


def verify(settings: Settings, names: Sequence[str]) -> Iterator[tuple[str, list[Finding]]]:
    """Findings a dataset; without names, of every dataset here. Raises UserError for a named one that is absent."""
    present = [row["dataset"] for row in datasets(settings) if row["train"] != "" or row["test"] != ""]
    for name in names or present:
        source = load_dataset(name, settings=settings)
        findings = source.verify()
        if isinstance(source, TellsReading) and not any(finding.error for finding in findings):
            note(f"{name}: {source.reading()}")
        yield name, findings


def describe(settings: Settings, name: str, split: Split) -> pd.DataFrame:
    """One row an image: its ``id``, then `bench.images.facts.facts`; and its ``group`` where ids hold folders.

    The group is what stands before the last ``/`` of an id: the class of few-shot sets, the video of sequences.

    Raises:
        UserError: no such dataset, it is not here, or the split is empty.
    """
    import pandas as pd

    from bench.images.facts import facts

    samples = load_dataset(name, settings=settings).split(split)
    if not len(samples):
        raise UserError(f"its {split} split is empty", name, "name another one: --split")
    rows = []
    for sample in track(in_order(samples), f"describe {name}", total=len(samples)):
        folder = sample.id.rpartition("/")[0]
        rows.append(
            {
                "id": sample.id,
                **({"group": folder} if folder else {}),
                **facts(sample.image, sample.mask, sample.ignore),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Prepared:
    """What `prepare` has done.

    Attributes:
        folder: of the dataset.
        plan: the files in it, and what of the archives was left out.
        sizes: samples of each split.
        state: ``"complete"``, or what it lacks.
        new: False where all of it was there before.
    """

    folder: Path
    plan: Plan
    sizes: Mapping[Split, int]
    state: str
    new: bool


def prepare(settings: Settings, name: str, archives: Sequence[Path], root: Path | None = None) -> Prepared:
    """Unpack what a dataset's authors publish into the folder that the dataset is read from: whole, or not at all.

    Args:
        name: of a dataset that says what its archives hold, see `bench.contracts.Published`.
        archives: zip or tar files, and single files that are published beside them.
        root: the parent of the datasets' folders, in place of ``BENCH_DATA`` and ``[data] root``.

    Raises:
        UserError: there is no such dataset; an archive is refused, see `bench.runtime.archives.opened` and
            `bench.datasets.prepare.plan`; the archives are not enough; the folder holds something else; or it cannot be
            written.
    """
    variant = resolve("dataset", name, settings, "DATASET")
    factory = variant.entry.factory
    if not isinstance(factory, Published):
        fix = "unpack them by hand: 'bench list datasets --verbose' says what the dataset reads"
        raise UserError(f"the dataset {variant.entry.name!r} does not say what its archives hold", "DATASET", fix)
    target = settings.dataset_root(variant.entry.name, root)
    with ExitStack() as stack:
        files = plan(name, factory.published, [stack.enter_context(opened(path)) for path in archives])
        try:
            return _laid_out(variant, files, target, archives)
        except OSError as error:
            fix = "make room there, or name another place with --root"
            raise UserError(f"cannot write the dataset, {error.strerror}", target, fix) from None


def _laid_out(variant: Variant, files: Plan, target: Path, archives: Sequence[Path]) -> Prepared:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        if not (target.is_dir() and is_unpacked(files, target, f"comparing {variant.entry.name}")):
            fix = "move it away, or name another place with --root"
            raise UserError("something else than the archives hold is there already", target, fix)
        return Prepared(target, files, *_counts(variant.make(root=target)), new=False)
    check_room(files, target)
    with building(target) as folder:
        unpack(files, folder, f"unpacking {variant.entry.name}")
        try:
            counts = _counts(variant.make(root=folder))
        except UserError as error:
            fix = f"name all that is published with --archive: {', '.join(variant.entry.factory.published)}"
            raise UserError(f"not enough, {error.what}", ", ".join(map(str, archives)), fix) from None
    return Prepared(target, files, *counts, new=True)


def _counts(source: DatasetSource) -> tuple[dict[Split, int], str]:
    return {split: len(source.split(split)) for split in SPLITS}, source.completeness() or "complete"


def _dataset(settings: Settings, listed: Listed, stranger: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"dataset": listed.name, **dict.fromkeys(SPLITS, ""), "state": listed.problem}
    if listed.problem:
        return row
    try:
        if not stranger:
            (found,) = _sizes_of(settings, listed.name)
        else:
            (found,) = isolated(_sizes_of, settings, listed.name, seconds=DATASET_SECONDS, quiet=True)
        return row | found
    except UserError as error:
        return row | {"state": printable(f"{error.what} ({error.where})")}
    except LostError as lost:
        return row | {"state": f"broken: {lost}"}


def _sizes_of(settings: Settings, name: str) -> Iterator[dict[str, Any]]:
    sizes, state = _counts(load_dataset(name, settings=settings))
    yield dict(sizes) | {"state": state}
