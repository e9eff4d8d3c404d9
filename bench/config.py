"""bench.toml -> validated settings. Every error names the file, the key and the fix."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from bench.contracts import KEPT_RULES, UserError
from bench.metrics.columns import Objective
from bench.runtime.reading import read_text

Kind = Literal["dataset", "base", "refiner", "metric"]
KINDS: tuple[Kind, ...] = ("dataset", "base", "refiner", "metric")
FILE_NAME = "bench.toml"

TrainingProtocol = Literal["A", "B"]
"""A key of `bench.contracts.PROTOCOLS`.

``A``: the base's best epoch is chosen on val. ``B``: it is the epoch of the lowest training loss, and only refiners
that learn nothing follow.
"""

Device = Literal["auto", "cpu", "cuda"]
EngineName = Literal["local", "inline", "ray", "slurm"]
"""A module of `bench.execution.engines`."""

OnError = Literal["fail", "skip"]


def _whole(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("whole", "a whole number")
    return value


def _positive(value: Any) -> int:
    try:
        number = int(_whole(value))
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number < 1 or number != float(value):
        raise PydanticCustomError("positive", "a positive whole number")
    return number


def _seed(value: Any) -> int:
    try:
        number = int(_whole(value))
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 2**32 or number != float(value):
        raise PydanticCustomError("seed", f"a whole number from 0 to {2**32 - 1}")
    return number


def _keep_maps(value: Any) -> str:
    text = str(value)
    if isinstance(value, bool) or re.fullmatch(rf"all|(({'|'.join(KEPT_RULES)}):)?[0-9]{{1,9}}", text) is None:
        raise PydanticCustomError("keep_maps", f"a number, all, or RULE:N with one of {', '.join(KEPT_RULES)}")
    rule, colon, number = text.rpartition(":")
    return text if number == "all" else f"{rule}{colon}{int(number)}"


Positive = Annotated[int, BeforeValidator(_positive)]
Seed = Annotated[int, BeforeValidator(_seed)]
KeepMaps = Annotated[str, BeforeValidator(_keep_maps)]
Names = Annotated[list[str], Field(min_length=1)]

LEFT_OUT: Any = None
"""What the layer below says."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


OF_A_RUN = frozenset({"engine", "jobs", "address", "slurm", "on_error", "keep_maps"})
"""Keys of a grid that a run has but once, whatever its parts are."""


class Grid(_Section):
    """Which cells, and how they are computed: the one list of a run's options.

    A key here is the keyword of `bench.run`, the option of ``bench run`` and the key in bench.toml. What a layer leaves
    out comes from the layer below: the options, the experiment, the defaults.

    Attributes:
        dataset, base, refiner: names, ``name[key=value,...]``.
        metric: plug-ins to score by, beside the built-in metrics.
        seed: of all that is drawn; each gives cells of its own.
        protocol: ``A`` or ``B``, see `bench.contracts.PROTOCOLS`.
        limit: use a random sample of so many of each split, the same in every run; None uses all.
        tune: trials of every refiner that can be tuned, so that all get the same budget; None tunes those alone whose
            name says so.
        objective: what the tuning goes by; None is the first of `bench.metrics.columns.OBJECTIVES`.
        epochs: the parameter ``epochs`` of every base and refiner that has one, over what their names say.
        device: ``auto`` is ``cuda`` where there is a GPU, else ``cpu``.
        engine: what runs the stages: a module of `bench.execution.engines`.
        jobs: stages side by side; None is one on this machine, and as many as there is room for on a cluster.
        address: of the Ray cluster; None is the one that ``RAY_ADDRESS`` names, or one of this machine's own.
        slurm: ``KEY=VALUE`` of a SLURM job, as `submitit` calls them: ``partition=gpu``.
        shard: images that one stage works on: of more, the base's maps and the refined ones are made in several stages,
            which may run side by side. It changes no number.
        workers: processes that a cell's test images are spread over, one native thread each; with one of them the
            refiner takes what threads it likes.
        on_error: ``fail`` stops at the first failed cell, ``skip`` records it and goes on.
        stall_limit: seconds; a stage that makes no progress for so long (no image, map, training step or trial is done)
            is ended, and its cells fail. ``engine="inline"`` cannot end what hangs.
        keep_maps: of how many images of each cell the store keeps pictures: ``"20"`` at most, a quarter each with the
            highest, the lowest and the most ordinary gain in IoU over the baseline's map and a random sample that is
            the same for all cells of a dataset; ``"worst:20"`` of one of `bench.contracts.KEPT_RULES` alone; ``"all"``;
            ``"0"`` for none. The baseline itself has the random sample alone. It changes no number.
    """

    dataset: Names = LEFT_OUT
    base: Names = LEFT_OUT
    refiner: Names = LEFT_OUT
    metric: list[str] = LEFT_OUT
    seed: Annotated[list[Seed], Field(min_length=1)] = LEFT_OUT
    protocol: Annotated[list[TrainingProtocol], Field(min_length=1)] = LEFT_OUT
    limit: Positive | None = None
    tune: Positive | None = None
    objective: Objective | None = None
    epochs: Positive | None = None
    device: Device = LEFT_OUT
    engine: EngineName = LEFT_OUT
    jobs: Positive | None = None
    address: str | None = None
    slurm: list[str] | None = None
    shard: Positive = LEFT_OUT
    workers: Positive = LEFT_OUT
    on_error: OnError = LEFT_OUT
    stall_limit: Positive = LEFT_OUT
    keep_maps: KeepMaps = LEFT_OUT

    @classmethod
    def of(cls, called: Mapping[str, str] | None = None, /, **options: Any) -> Grid:
        """The options of a call, from Python or from the command line; None leaves one out.

        Args:
            called: for errors, the option on the command line where it is not ``--key``.

        Raises:
            UserError: a value is wrong.
        """
        try:
            return cls.model_validate({key: value for key, value in options.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            where = (called or {}).get(key, f"--{key.replace('_', '-')}")
            raise UserError(f"wrong value {first['input']!r}", where, _must_be(first["msg"])) from None

    def over(self, below: GridT) -> GridT:
        """``below`` with all that is given here in its place."""
        given = self.model_fields_set & Grid.model_fields.keys()
        return below.model_copy(update={key: getattr(self, key) for key in given})


GridT = TypeVar("GridT", bound=Grid)


class Defaults(Grid):
    """What a command uses where neither it nor its experiment says otherwise.

    Attributes:
        store: a folder or a URL.
        baseline: the refiner that gains are measured against; part of every grid.
    """

    store: Path | str
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


class Experiment(Grid):
    """A named grid of cells.

    Attributes:
        about: one line for ``bench list experiments``.
        parts: names of other experiments whose cells make this one up. What it says of its own holds for those parts
            that say nothing of it.
    """

    about: str = ""
    parts: list[str] = []


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

    def dataset_root(self, name: str, parent: Path | None = None) -> Path:
        """Folder of the dataset's files.

        Args:
            parent: of the datasets' folders; None is the variable ``BENCH_DATA``, or ``data.root``.
        """
        parent = parent or Path(os.environ.get("BENCH_DATA") or self.data.root)
        return parent / self.datasets.get(name, Path(name))

    def grids(self, experiment: str | None, options: Grid) -> list[Defaults]:
        """The whole grids of a run: one, or one for each part of the experiment.

        Raises:
            UserError: there is no experiment of this name (the nearest is told), a part has parts, or a part says what
                holds for a whole run alone.
        """
        whole = Experiment() if experiment is None else self._experiment(experiment, "--experiment")
        parts = [self._part(part, f"experiments.{experiment}.parts") for part in whole.parts] or [Experiment()]
        return [options.over(part.over(whole.over(self.defaults))) for part in parts]

    def _part(self, name: str, where: str) -> Experiment:
        part = self._experiment(name, where)
        if part.parts:
            raise UserError(f"{name!r} has parts of its own", where, "name those instead")
        if of_a_run := OF_A_RUN & part.model_fields_set:
            fix = "set that in the experiment that has the parts"
            raise UserError(f"{name!r} sets {min(of_a_run)}, which a run has but once", where, fix)
        return part

    def _experiment(self, name: str, where: str) -> Experiment:
        if name not in self.experiments:
            raise unknown("experiment", name, self.experiments, where)
        return self.experiments[name]


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
        return tomllib.loads(read_text(path))
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
        value = settings.get(section, {}).get(key)
        if isinstance(value, str) and "://" not in value:
            placed[section] = {**placed[section], key: folder / value}
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
        raise UserError(f"wrong value {first['input']!r}", where, _must_be(first["msg"])) from None


def _must_be(message: str) -> str:
    """What the value should be, in our form: pydantic says ``Input should be ...`` and ``List should have ...``."""
    said = message.removeprefix("Input should be ")
    return "it must be " + re.sub(r"^List should have (.+) after validation, not .*", r"a list of \1", said)


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
