"""Finished cells, and what they were made from: the one place that knows where each file of a store lies.

The files are the database. A cell is one Parquet file of records and one JSON manifest, renamed into place; it is
finished when its manifest says ``done``, which is written last::

    cells/NAME.json, NAME.parquet    NAME is readable and ends in the cell's key
    partial/KEY.jsonl                records of a cell that is being computed
    bases/KEY/fit/                   a trained base
    bases/KEY/maps-PRINT/            its maps of one split, see `bench.execution.maps.MapCache`
    refiners/KEY/                    what a refiner learned

A folder of something learned is whole once it holds ``finished.json``; ``tuned.json`` is what a tuning found.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.contracts import UserError
from bench.metrics.columns import BASE, BASE_SECONDS, RECORD_COLUMNS, Better
from bench.runtime.files import replacing


class PluggedMetric(BaseModel):
    """What a plugged-in metric says of its column, so that a report needs no plug-in; see `bench.contracts.Metric`."""

    model_config = ConfigDict(frozen=True)

    title: str = Field(min_length=1)
    meaning: str
    better: Better
    scale: float = Field(gt=0, allow_inf_nan=False)
    digits: int = Field(ge=0, le=15)


LAYOUT = 2
"""What this version writes. 1, which says nothing of it, had names in the identities: its keys are not found again."""


class VariantName(BaseModel):
    """How tables write a variant: ``name[key=value,...]``.

    Attributes:
        name: the plug-in's, or that of a variant of bench.toml.
        parameters: text of those that are shown; of a path, its last part.
        paths: absolute, of those that are paths.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    parameters: dict[str, str] = {}
    paths: dict[str, str] = {}

    def label(self, parts: Mapping[str, int] | None = None) -> str:
        """In one piece.

        Args:
            parts: of a path, how many of its last parts are shown, by parameter; where it says nothing, one.

        >>> name = VariantName(name="maps", parameters={"path": "m"}, paths={"path": "/a/b/m"})
        >>> name.label(), name.label({"path": 2})
        ('maps[path=m]', 'maps[path=b/m]')
        """
        shown = dict(self.parameters)
        for key, count in (parts or {}).items():
            if key in self.paths:
                shown[key] = "/".join(PurePath(self.paths[key]).parts[-count:])
        return f"{self.name}[{','.join(f'{key}={text}' for key, text in shown.items())}]" if shown else self.name


class Manifest(BaseModel):
    """What a cell is, and how it came about.

    Attributes:
        key: hash of everything that changes the cell's numbers.
        layout: see `LAYOUT`.
        status: ``planned`` (no numbers yet), ``failed`` (see `error`) or ``done``.
        dataset, base, refiner: names of the variants, e.g. ``prn[size=128]``, as the last run called them.
        names: the same by parts: ``dataset``, ``base`` and ``refiner``; empty in layout 1.
        seed, protocol, limit: the rest of the cell's name; limit is the cap on samples per split, or None where it cuts
            nothing.
        drawn: the samples under a limit are a random sample; in files of earlier versions they were the first ones.
        largest: number of samples of the largest split that the cell uses, limit aside; 0 in files of earlier versions.
        position: place in the grid it was planned in; reports keep that order.
        uses_ground_truth: the refiner is an oracle.
        complete: ``"6 of 6226 pairs"`` where the dataset's copy is partial, else "".
        metrics: plugged-in metrics by the name of their column in the records.
        contaminated: image sets that the test images are of and that public weights in use were trained on, see
            `bench.execution.contamination`; not part of the identity.
        contaminated_by: whose weights those are: ``base``, ``refiner`` or both.
        tuned: of a refiner tuned on val: ``parameters`` found, ``objective``, its ``score`` on val with them and
            ``default_score`` without, ``trials``; else empty.
        remarks: what a reader of the numbers has to know, e.g. that every mask is empty.
        error: one line, for ``failed``.
        images: number of test images scored.
        fit_seconds: wall time of refiner.fit, None where nothing is fitted; of a fit that was interrupted and
            resumed, the last call's alone.
        written: ISO time of the last change, UTC.
        environment: versions, device, git commit of the harness's checkout.
        identity: the fields whose hash is the key: plug-ins, parameters and files by content, fingerprints, metric
            version; no name that a user gives.
    """

    model_config = ConfigDict(extra="ignore")

    key: str
    layout: int = 1
    status: Literal["planned", "failed", "done"]
    dataset: str
    base: str
    refiner: str
    names: dict[str, VariantName] = {}
    seed: int
    protocol: str
    limit: int | None = None
    drawn: bool = False
    largest: int = 0
    position: int = 0
    uses_ground_truth: bool = False
    complete: str = ""
    metrics: dict[str, PluggedMetric] = {}
    contaminated: list[str] = []
    contaminated_by: list[Literal["base", "refiner"]] = []
    tuned: dict[str, Any] = {}
    remarks: list[str] = []
    error: str = ""
    images: int = 0
    fit_seconds: float | None = None
    written: str = ""
    environment: dict[str, Any] = {}
    identity: dict[str, Any] = {}

    def variant(self, kind: str) -> dict[str, Any]:
        """The part of the identity that is the dataset's, base's or refiner's variant alone; not in layout 1."""
        part: dict[str, Any] = self.identity[kind]
        # A base's key is made of its training, too.
        return part["base"] if kind == "base" else part

    @property
    def file_stem(self) -> str:
        name = f"{self.dataset}__{self.base}__{self.refiner}__s{self.seed}"
        return f"{re.sub(r'[^A-Za-z0-9_.=,+-]+', '_', name)[:150]}__{self.key[:12]}"


@dataclass(frozen=True)
class Learned:
    """The folder of one training: a base's, a refiner's or a tuning's.

    What the base or refiner itself puts there is its own affair.
    """

    folder: Path

    @property
    def finished(self) -> dict[str, Any] | None:
        """``seconds`` that it took and, of a refiner, its name and identity: ``refiner`` and ``identity``.

        None where it is not whole.
        """
        return _json(self.folder / "finished.json")

    def finish(self, seconds: float, **more: Any) -> None:
        """Say that the training is whole."""
        _write_json(self.folder / "finished.json", {"seconds": seconds, **more})

    @property
    def tuned(self) -> dict[str, Any] | None:
        """What a tuning found, see `Manifest.tuned`; None where there was none, or it has not ended."""
        return _json(self.folder / "tuned.json")

    def keep_tuned(self, found: dict[str, Any]) -> None:
        """Write what a tuning found."""
        _write_json(self.folder / "tuned.json", found)

    def remove(self) -> None:
        """Forget it all."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Store:
    """A folder of cells, with the maps and checkpoints they were made from.

    Args:
        root: the folder; made where absent.

    Raises:
        UserError: it cannot be made or written.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @property
    def cells(self) -> Path:
        """The folder of the manifests and records."""
        return self.root / "cells"

    def trained_base(self, base_key: str) -> Learned:
        """Where a base is trained."""
        return Learned(self.root / "bases" / base_key / "fit")

    def maps(self, base_key: str, fingerprint: str) -> Path:
        """The folder of a base's maps of the split with that fingerprint."""
        return self.root / "bases" / base_key / f"maps-{fingerprint[:16]}"

    def write_episodes(self, maps: Path, episodes: dict[str, Any]) -> None:
        """Record beside maps which labelled samples each query was answered from."""
        _write_json(maps / "episodes.json", episodes)

    def fitted_refiner(self, fit_key: str) -> Learned:
        """Where a refiner is fitted."""
        return Learned(self.root / "refiners" / fit_key)

    def partial(self, cell: Manifest) -> Path:
        """The log of a cell's records, one line of JSON an image, while it is computed."""
        return self.root / "partial" / f"{cell.key}.jsonl"

    def open_for_writing(self) -> None:
        """Make the folder and prove that it can be written. Raises UserError otherwise."""
        probe = self.cells / f".probe.{os.getpid()}"
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"cannot write the store, {error.strerror}", self.root, "name a writable folder with --store"
            ) from None

    def open_for_reading(self) -> None:
        """Raises UserError where there is no store."""
        if not self.cells.is_dir():
            raise UserError("no store here", self.root, "name one with --store, or fill it with 'bench run'")

    def manifests(self) -> list[Manifest]:
        """All manifests, in the order of their file names. Raises UserError for a damaged one."""
        return [_manifest(path) for path in sorted(self.cells.glob("*.json"))]

    def readable(self) -> tuple[list[Manifest], list[UserError]]:
        """The manifests that can be read, and what is wrong with each of the others."""
        found, damaged = [], []
        for path in sorted(self.cells.glob("*.json")):
            try:
                found.append(_manifest(path))
            except UserError as error:
                damaged.append(error)
        return found, damaged

    def find(self, cell: Manifest) -> Manifest | None:
        """The stored manifest with the cell's key, if any, whatever its variants were called then."""
        path = self.cells / f"{cell.file_stem}.json"
        renamed = () if path.is_file() else self.cells.glob(f"*__{cell.key[:12]}.json")
        found = (_manifest(one) for one in (path, *renamed) if one.is_file())
        return next((manifest for manifest in found if manifest.key == cell.key), None)

    def is_done(self, cell: Manifest) -> bool:
        stored = self.find(cell)
        return stored is not None and stored.status == "done" and self._records_path(stored).is_file()

    def records(self, cell: Manifest) -> pd.DataFrame:
        """One row an image, with `bench.metrics.columns.RECORD_COLUMNS` and the columns of `Manifest.metrics`.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self._records_path(cell)
        again = "run the cell again with --force"
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise UserError(f"damaged records, {str(error).splitlines()[0]}", path, again) from None
        missing = [name for name in (*_REPORTED, *cell.metrics) if name not in frame.columns]
        if missing:
            raise UserError(f"damaged records, without the column {missing[0]}", path, again)
        return frame

    def write(self, manifest: Manifest, records: pd.DataFrame | None = None) -> None:
        """Write a cell: the records first, the manifest last, each renamed into place.

        With the records it is no longer `partial`. What was stored of it under another name goes.
        """
        stored = self.find(manifest)
        if records is not None:
            columns = {**RECORD_COLUMNS, **dict.fromkeys(manifest.metrics, "float64")}
            with replacing(self._records_path(manifest)) as path:
                records.astype(columns)[list(columns)].to_parquet(path, index=False)
        _write_json(self.cells / f"{manifest.file_stem}.json", manifest.model_dump())
        if records is not None:
            self.partial(manifest).unlink(missing_ok=True)
        if stored is not None and stored.file_stem != manifest.file_stem:
            self._unlink(stored)

    def refresh(self, planned: Sequence[Manifest]) -> None:
        """Bring what is stored up to date with what is no part of a cell's identity.

        A variant, or the images that it is tested on, may have another name by now, in all cells that it has part in;
        and of the planned cells, the ledger may know more, and the dataset's copy may have grown.
        """
        by_key = {manifest.key: manifest for manifest in planned}
        called = {_part(manifest, kind): manifest for manifest in planned for kind in manifest.names}
        for stored in self.manifests():
            if stored.layout != LAYOUT:
                continue
            marks = {key: getattr(by_key.get(stored.key, stored), key) for key in _MARKS}
            update: dict[str, Any] = {**marks, "names": dict(stored.names)}
            for kind in stored.names:
                named = called.get(_part(stored, kind), stored)
                update[kind] = getattr(named, kind)
                update["names"][kind] = named.names[kind]
            renewed = stored.model_copy(update=update)
            if renewed != stored:
                self._rename(stored, renewed)

    def remove(self, manifest: Manifest) -> None:
        """Forget a cell, manifest first, and its half-written records."""
        self._unlink(self.find(manifest) or manifest)
        self.partial(manifest).unlink(missing_ok=True)

    def _rename(self, stored: Manifest, renewed: Manifest) -> None:
        """Write a cell under its new name; stopped half-way it is a cell that is not finished."""
        if stored.file_stem != renewed.file_stem and self._records_path(stored).is_file():
            self._records_path(stored).replace(self._records_path(renewed))
        self.write(renewed)

    def _unlink(self, manifest: Manifest) -> None:
        (self.cells / f"{manifest.file_stem}.json").unlink(missing_ok=True)
        self._records_path(manifest).unlink(missing_ok=True)

    def _records_path(self, manifest: Manifest) -> Path:
        return self.cells / f"{manifest.file_stem}.parquet"


_REPORTED = [name for name in RECORD_COLUMNS if name == BASE_SECONDS.key or not name.startswith(BASE)]
"""The columns of the records that a report cannot do without."""

_MARKS = ("contaminated", "contaminated_by", "complete", "largest")


def _part(manifest: Manifest, kind: str) -> str:
    """What a name stands for: of a dataset, the plug-in and the images that are tested on."""
    tested_on = manifest.identity["test"] if kind == "dataset" else ""
    return json.dumps([kind, manifest.variant(kind), tested_on], sort_keys=True, default=str)


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        problem = str(error).splitlines()[0]
        raise UserError(f"damaged manifest, {problem}", path, "delete it and run the cell again") from None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"damaged, {error}", path, "delete its folder and run again") from None
    return found


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
