"""What ``--slurm`` says -> what `submitit` takes, each value of the type that it wants."""

from __future__ import annotations

import math
import shlex
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from submitit import AutoExecutor
from submitit.slurm.slurm import _make_sbatch_string

from bench.config import nearest
from bench.contracts import UserError

CLUSTERS = ("slurm", "local", "debug")
"""What `submitit` calls what runs jobs; the last two are for trying on one machine."""

RAW = "sbatch_"
"""A key that begins so is an option of sbatch itself: ``sbatch_reservation=x`` is ``--reservation=x``."""

DEFAULTS = {"name": "bench", "timeout_min": 240}
"""Where `submitit` would take 5 minutes, for one."""

_OF_EXECUTOR: dict[str, Any] = {"max_num_timeout": int, "python": str}
"""What a SlurmExecutor is made with."""

_OURS = {"array", "output", "error", "open_mode", "signal", "ntasks", "nodes", "ntasks_per_node", "chdir", "wrap"}
"""Options of sbatch without which workers, logs or checkpoints would not be what this engine takes them for."""

_NOT_TAKEN = {"return", "command", "folder", "map_count", "num_gpus", "additional_parameters"} | _OURS


@dataclass(frozen=True)
class Parameters:
    """Those of the jobs of a run.

    Attributes:
        cluster: one of `CLUSTERS`.
        folder: where the run's files lie, one that all machines see; None where the store is such.
        executor: what `submitit.AutoExecutor` is made with.
        job: what its ``update_parameters`` takes.
    """

    cluster: str
    folder: Path | None
    executor: dict[str, Any]
    job: dict[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Parameters:
        """Raises UserError for an unknown key or a value of the wrong type."""
        cluster, folder = "slurm", None
        executor: dict[str, Any] = {}
        job: dict[str, Any] = {}
        raw: dict[str, Any] = {"requeue": True}
        common, special = AutoExecutor._typed_parameters(), _of_sbatch()
        for key, value in given.items():
            name, where = key.removeprefix("slurm_"), f"--slurm {key}"
            if not value:
                raise UserError("no value", where, f"write --slurm {key}=VALUE, or leave it out")
            if name == "cluster":
                cluster = value
            elif name == "folder":
                folder = Path(value).expanduser().absolute()
            elif name.removeprefix(RAW) in _OURS | {"tasks_per_node"}:
                fix = "leave it out; --jobs N says how many workers there are, each of them a job of one task"
                raise UserError("this is the engine's own", where, fix)
            elif name.startswith(RAW):
                raw[name.removeprefix(RAW)] = _bool_or_text(value, where)
            elif name in _OF_EXECUTOR:
                executor[f"slurm_{name}"] = _parsed(value, _OF_EXECUTOR[name], where)
            elif name in common:
                job[name] = _parsed(value, common[name], where)
            elif name in special:
                job[f"slurm_{name}"] = _parsed(value, special[name], where)
            else:
                known = {"cluster", "folder", *_OF_EXECUTOR, *common, *special} - {"tasks_per_node", "nodes"}
                fix = f"{nearest(name, known)} (an option of sbatch itself: {RAW}{name}={value})"
                raise UserError(f"no such parameter {key!r}", "--slurm", fix)
        if cluster not in CLUSTERS:
            raise UserError(f"no such cluster {cluster!r}", "--slurm cluster", nearest(cluster, CLUSTERS))
        if raw.get("no_requeue") is True:
            del raw["requeue"]
        raw = {key: value for key, value in raw.items() if value is not False}
        return cls(cluster, folder, executor, DEFAULTS | job | {"slurm_additional_parameters": raw})

    @property
    def with_more_memory(self) -> Parameters:
        """With twice as much, where it was given as ``mem_gb``."""
        if "mem_gb" not in self.job:
            return self
        return replace(self, job=self.job | {"mem_gb": 2 * self.job["mem_gb"]})


def _of_sbatch() -> dict[str, Any]:
    hints = typing.get_type_hints(_make_sbatch_string)
    return {name: hint for name, hint in hints.items() if name not in _NOT_TAKEN}


def _parsed(value: str, wanted: Any, where: str) -> Any:
    options = [one for one in typing.get_args(wanted) if one is not types.NoneType]
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return _bool_or_text(value, where) if bool in options else _parsed(value, options[0], where)
    if typing.get_origin(wanted) is list:
        return [value]  # a line of the script
    parse = _PARSERS.get(wanted)
    return parse(value, where) if parse is not None else shlex.split(value)


def _whole(value: str, where: str) -> int:
    if not value.isdecimal():
        raise UserError(f"{value!r} is no whole number", where, "write --slurm timeout_min=240")
    return int(value)


def _number(value: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"{value!r} is no number above 0", where, "write --slurm mem_gb=32")
    return number


def _bool(value: str, where: str) -> bool:
    found = _bool_or_text(value, where)
    if not isinstance(found, bool):
        raise UserError(f"{value!r} is neither true nor false", where, "write one of the two")
    return found


def _bool_or_text(value: str, where: str) -> bool | str:
    return {"true": True, "false": False}.get(value.lower(), value)


_PARSERS: dict[Any, Callable[[str, str], Any]] = {
    int: _whole,
    float: _number,
    bool: _bool,
    str: lambda value, where: value,
}
