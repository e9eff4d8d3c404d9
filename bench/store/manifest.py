"""What a cell is, and how it came about: its manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.contracts import Summary, UserError
from bench.metrics.columns import Better
from bench.runtime.sealed import SEAL, opened


class PluggedMetric(BaseModel):
    """What a plugged-in metric says of its column, so that a report needs no plug-in; see `bench.contracts.Metric`."""

    model_config = ConfigDict(frozen=True)

    title: str = Field(min_length=1)
    meaning: str
    better: Better
    scale: float = Field(gt=0, allow_inf_nan=False)
    digits: int = Field(ge=0, le=15)
    # Earlier versions knew numbers alone, and wrote neither.
    curve: int = Field(default=0, ge=0)
    summary: Summary = "mean"


LAYOUT = 3
"""What this version writes. 2 had no digests and other file names; 1 had names in the identities, too, so that its keys
are not found again."""


SEQUENCE = "+"
"""What stands between the names of refiners that are applied one after the other."""


class VariantName(BaseModel):
    """How tables write a variant: ``name[key=value,...]``.

    Attributes:
        name: the plug-in's, or that of a variant of bench.toml; `SEQUENCE` for refiners one after the other, which are
            the parameters ``1``, ``2``, ...
        parameters: text of those that are shown; of a path, its last part; of a refiner, its label.
        paths: absolute, of those that are paths.
        nested: names of those that are refiners.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    parameters: dict[str, str] = {}
    paths: dict[str, str] = {}
    nested: dict[str, VariantName] = {}

    @property
    def all_paths(self) -> dict[str, str]:
        """Those of refiners in it, too: ``refiner.weights``."""
        inside = ((key, name.all_paths) for key, name in self.nested.items())
        return self.paths | {f"{key}.{inner}": path for key, paths in inside for inner, path in paths.items()}

    def label(self, parts: Mapping[str, int] | None = None) -> str:
        """In one piece.

        Args:
            parts: of a path, how many of its last parts are shown, by its key in `all_paths`; where it says nothing,
                one.

        >>> name = VariantName(name="maps", parameters={"path": "m"}, paths={"path": "/a/b/m"})
        >>> name.label(), name.label({"path": 2})
        ('maps[path=m]', 'maps[path=b/m]')
        """
        shown = dict(self.parameters)
        for key, count in (parts or {}).items():
            if key in self.paths:
                shown[key] = "/".join(PurePath(self.paths[key]).parts[-count:])
        for key, name in self.nested.items():
            inside = (parted for parted in (parts or {}).items() if parted[0].startswith(f"{key}."))
            shown[key] = name.label({inner.removeprefix(f"{key}."): count for inner, count in inside})
        if self.name == SEQUENCE:
            return SEQUENCE.join(shown.values())
        return f"{self.name}[{','.join(f'{key}={text}' for key, text in shown.items())}]" if shown else self.name


class Manifest(BaseModel):
    """What a cell is, and how it came about.

    Attributes:
        key: hash of everything that changes the cell's numbers.
        layout: see `LAYOUT`.
        file: its file's name below ``cells/``, without the suffix; the names in it are those that it had when it was
            written.
        generation: number of the run that wrote it, one more than the largest of the store when that run began. Of two
            cells of one name or key the higher one counts, whatever a clock says; 0 in files of earlier versions.
        status: ``planned`` (no numbers yet), ``failed`` (see `error`) or ``done``.
        dataset, base, refiner: names of the variants, e.g. ``prn[size=128]``, as the last run called them.
        names: the same by parts: ``dataset``, ``base`` and ``refiner``; empty in layout 1.
        seed, protocol, limit: the rest of the cell's name; limit is the cap on samples per split, or None where it cuts
            nothing.
        rules: see `bench.metrics.columns.RULES`; those that knew no id had the first.
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
        tuned_inside: the same of refiners in it, and of the parts of a sequence, by what they are called.
        remarks: what a reader of the numbers has to know, e.g. that every mask is empty.
        error: one line, for ``failed``.
        images: number of test images scored.
        records: digest (BLAKE2b-128, hexadecimal) of the file of its records; "" unless done.
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
    file: str = ""
    generation: int = 0
    status: Literal["planned", "failed", "done"]
    dataset: str
    base: str
    refiner: str
    names: dict[str, VariantName] = {}
    seed: int
    protocol: str
    rules: str = "refinebench-v1"
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
    tuned_inside: dict[str, dict[str, Any]] = {}
    remarks: list[str] = []
    error: str = ""
    images: int = 0
    records: str = ""
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
    def stem(self) -> str:
        """What a new file of the cell is called: the names, for who looks there, and the key, which counts."""
        name = f"{self.dataset}__{self.base}__{self.refiner}__s{self.seed}"
        return f"{re.sub(r'[^A-Za-z0-9_.=,+-]+', '_', name)[:150]}__{short(self.key)}"

    @property
    def title(self) -> str:
        """In messages."""
        return f"{self.dataset} > {self.base} > {self.refiner} (seed {self.seed})"

    def named(self) -> dict[str, Any]:
        """JSON-able: what tells it from other cells."""
        names = ("dataset", "base", "refiner", "seed", "protocol", "limit", "key")
        return {name: getattr(self, name) for name in names}


FORKED, STARTED = "forked", "started"
"""As ``environment["process"]``: whose memory was measured. One that was forked has no pages of code that it does not
run; a started one has read all of its imports."""


def short(key: str) -> str:
    """As much of a key as file names hold."""
    return key[:12]


def parsed(content: bytes, name: str, where: object) -> Manifest:
    """A manifest of its file's content.

    Args:
        name: of the file, without the suffix.
        where: the file, for errors.

    Raises:
        UserError: it is damaged, or another file's.
    """
    try:
        found = json.loads(content)
        # Earlier versions wrote no seal.
        if not isinstance(found, dict) or SEAL in found or found.get("layout", 1) >= LAYOUT:
            found = opened(found)
        manifest = Manifest.model_validate(found)
        if manifest.layout >= LAYOUT and manifest.file != name:
            raise ValueError(f"it is that of {manifest.file}")
        return manifest.model_copy(update={"file": name})
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        problem = str(error)
    raise UserError(f"damaged manifest, {problem}", where, f"run the cell again, or say '{REPAIR}'")


REPAIR = "bench store check --repair"
