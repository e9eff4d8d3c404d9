"""bench.toml -> validated settings. Every error names the file, the key and the fix."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from bench.contracts import UserError
from bench.metrics.columns import Objective

Kind = Literal["dataset", "base", "refiner", "metric"]
KINDS: tuple[Kind, ...] = ("dataset", "base", "refiner", "metric")
FILE_NAME = "bench.toml"

Protocol = Literal["A", "B"]
"""A key of `bench.contracts.PROTOCOLS`.

``A``: the base's best epoch is chosen on val. ``B``: it is the epoch of the lowest training loss, and only refiners
that learn nothing follow.
"""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Defaults(_Section):
    """What a command uses where neither it nor its experiment says otherwise."""

    dataset: list[str]
    base: list[str]
    refiner: list[str]
    metric: list[str]
    seed: list[int]
    protocol: list[Protocol]
    store: Path
    device: Literal["auto", "cpu", "cuda"]
    engine: Literal["local", "ray"]
    on_error: Literal["fail", "skip"]
    workers: PositiveInt
    baseline: str


class Data(_Section):
    """Where the datasets' folders lie."""

    root: Path


class Variants(_Section):
    """Names for plug-ins with fixed parameters: name -> ``plug-in[key=value,...]``."""

    dataset: dict[str, str] = {}
    base: dict[str, str] = {}
    refiner: dict[str, str] = {}
    metric: dict[str, str] = {}


class Experiment(_Section):
    """A named grid of cells; what it leaves out comes from `Defaults`.

    Attributes:
        parts: names of other experiments whose cells make this one up; it then has no grid of its own.
        tune: trials of every refiner that can be tuned, so that all get the same budget; None tunes none.
        objective: what the tuning goes by, ``iou`` where it is None.
    """

    about: str = ""
    parts: list[str] = []
    dataset: list[str] | None = None
    base: list[str] | None = None
    refiner: list[str] | None = None
    metric: list[str] | None = None
    seed: list[int] | None = None
    protocol: list[Protocol] | None = None
    limit: int | None = None
    tune: PositiveInt | None = None
    objective: Objective | None = None


class Settings(_Section):
    """The whole of bench.toml.

    Attributes:
        datasets: dataset name -> its folder, absolute or relative to ``data.root``.
        parameters: plug-in's name -> parameter -> value, where neither the command nor a variant gives one.
        ledger: SHA-256 of a file of weights, 64 hexadecimal digits -> names of the image sets it was trained on, as
            `bench.contracts.Ledgered` spells them.
    """

    defaults: Defaults
    data: Data
    datasets: dict[str, Path] = {}
    parameters: dict[str, dict[str, Any]] = {}
    variants: Variants = Variants()
    ledger: dict[str, list[str]] = {}
    experiments: dict[str, Experiment] = {}

    @field_validator("ledger")
    @classmethod
    def _hashes(cls, ledger: dict[str, list[str]]) -> dict[str, list[str]]:
        for key in ledger:
            if re.fullmatch("[0-9a-fA-F]{64}", key) is None:
                said = "SHA-256 -> names of sets, each key being the 64 hexadecimal digits that sha256sum prints"
                raise PydanticCustomError("sha256", said)
        return {key.lower(): names for key, names in ledger.items()}

    def dataset_root(self, name: str) -> Path:
        """Folder of the dataset's files; ``BENCH_DATA`` takes the place of ``data.root``."""
        parent = Path(os.environ.get("BENCH_DATA") or self.data.root)
        return parent / self.datasets.get(name, Path(name))

    def experiment(self, name: str) -> list[Experiment]:
        """The grids of an experiment: its own, or those of its parts.

        Raises:
            UserError: there is none of this name (the nearest is told), or a part has parts.
        """
        if name not in self.experiments:
            raise unknown("experiment", name, self.experiments, "--experiment")
        chosen = self.experiments[name]
        for part in chosen.parts:
            where = f"experiments.{name}.parts"
            if part not in self.experiments:
                raise unknown("experiment", part, self.experiments, where)
            if self.experiments[part].parts:
                raise UserError(f"{part!r} has parts of its own", where, "name those instead")
        return [self.experiments[part] for part in chosen.parts] or [chosen]


def load(config: Path | None = None, parameters: Sequence[str] = ()) -> Settings:
    """Packaged defaults, overridden by ``config`` or else by ``bench.toml`` in the working folder.

    Args:
        parameters: ``"prn.size=96"``, one for each parameter to set for a plug-in wherever it is used.

    Raises:
        UserError: the file is missing or not TOML, or holds an unknown key or a value of the wrong type; or
            ``parameters`` cannot be read.
    """
    packaged = _packaged_file()
    merged = _read(packaged)
    user_file = config or Path(FILE_NAME)
    if config is not None or user_file.is_file():
        own = _read(user_file)
        _check(own, user_file, merged)
        merged = _merge(merged, _absolute(own, user_file.parent))
    return _check(_merge(merged, {"parameters": _parameters(parameters)}), packaged, {})


def nearest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"``, or the list of all names where none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose from {', '.join(names)}" if names else "there are none"


def unknown(kind: str, name: str, known: Iterable[str], where: object) -> UserError:
    """The error for a name that is not among ``known``."""
    return UserError(f"no such {kind} {name!r}", where, nearest(name, known))


def _parameters(given: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        match = re.fullmatch(r"([^.=\s]+)\.([^.=\s]+)=(.+)", text)
        if match is None:
            raise UserError(f"cannot read {text!r}", "--set", "write NAME.PARAMETER=VALUE, e.g. prn.size=96")
        found.setdefault(match[1], {})[match[2]] = match[3]
    return found


def _packaged_file() -> Path:
    # A wheel carries the file inside the package; a checkout has it at its top.
    inside = Path(__file__).with_name(FILE_NAME)
    return inside if inside.is_file() else Path(__file__).parents[1] / FILE_NAME


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", path, "name an existing bench.toml with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read it, {error}", path, "make it a readable UTF-8 text file") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"not valid TOML, {error}", path, "correct that line") from None


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _absolute(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of a user's file relative to the file's folder."""
    placed = dict(settings)
    for section, key in (("defaults", "store"), ("data", "root")):
        if key in settings.get(section, {}):
            placed[section] = {**placed[section], key: folder / settings[section][key]}
    return placed


def _check(settings: dict[str, Any], path: Path, below: dict[str, Any]) -> Settings:
    """Validate ``settings`` laid over ``below``; errors are the fault of ``path``."""
    try:
        return Settings.model_validate(_merge(below, settings))
    except ValidationError as error:
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        where = f"{path}: {'.'.join(location)}"
        if first["type"] == "extra_forbidden":
            known = _keys_at(location[:-1])
            raise UserError(f"unknown key {location[-1]!r}", where, nearest(location[-1], known)) from None
        message = first["msg"].removeprefix("Input should be ")
        raise UserError(f"wrong value {first['input']!r}", where, f"it must be {message}") from None


def _keys_at(location: list[str]) -> list[str]:
    """The keys that the table at ``location`` may have."""
    model: type[BaseModel] = Settings
    for part in location:
        if part in model.model_fields:
            annotation = model.model_fields[part].annotation
            inner = Experiment if part == "experiments" else annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return list(model.model_fields)
