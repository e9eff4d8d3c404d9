"""An array of workers, as it was handed over to SLURM."""

from __future__ import annotations

import io
import logging
import subprocess
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from submitit import AutoExecutor, Job, SlurmExecutor, SlurmJob
from submitit.core.utils import FailedJobError, FailedSubmissionError, pickle_load

from bench.contracts import UserError
from bench.execution.engines.slurm.parameters import Parameters
from bench.execution.engines.slurm.worker import Worker
from bench.redaction import one_line
from bench.runtime.progress import note
from bench.runtime.wording import counted

ENDING = 10.0
"""Seconds that workers have to end once there is nothing left to do; those that still wait in the queue do not."""

ASKING = 30.0
"""Seconds between two questions to squeue, where sacct does not know."""

# What it says goes to stdout, which has the tables.
logging.getLogger("submitit").setLevel(logging.ERROR)


class Array:
    """Workers that were submitted.

    Args:
        folder: for their logs, and what `submitit` keeps.

    Raises:
        UserError: sbatch refuses it.
    """

    def __init__(self, workers: Sequence[Worker], folder: Path, parameters: Parameters) -> None:
        executor = AutoExecutor(folder, cluster=parameters.cluster, **parameters.executor)
        executor.update_parameters(**parameters.job)
        try:
            with redirect_stderr(io.StringIO()):  # the error says it again
                self._jobs: list[Job[Any]] = executor.submit_array(workers)
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            said = one_line(str(error).strip() or "nothing")
            raise UserError(f"sbatch refuses the job: {said}", "--engine slurm", "correct that in --slurm") from None
        self._is_slurm = isinstance(self._jobs[0], SlurmJob)
        self._kind = "SLURM job" if self._is_slurm else f"job without SLURM ({parameters.cluster})"
        self._ids = list(dict.fromkeys(job.job_id.partition("_")[0] for job in self._jobs))
        self._ended: set[str] = set()
        self._said: set[str] = set()
        self._asked = time.monotonic()

    @property
    def name(self) -> str:
        """``"SLURM job 123 of 20 workers"``."""
        return f"{self._kind} {', '.join(self._ids)} of {counted(len(self._jobs), 'worker')}"

    @property
    def stopped_by(self) -> str:
        """The command for that."""
        return f"{'scancel' if self._is_slurm else 'kill -INT'} {' '.join(self._ids)}"

    @property
    def out_of_memory(self) -> bool:
        return any(state.startswith("OUT_OF_ME") for state in self._states())

    @property
    def cancelled(self) -> bool:
        """Somebody has called scancel."""
        return any(state.startswith("CANCELLED") for state in self._states())

    def is_over(self) -> bool:
        """Whether all workers have ended; says of each that died what it said last."""
        ended = {job.job_id for job in self._jobs if job.done()}
        # At the second look: what a node has written last may take a moment to be seen here.
        for place, job in enumerate(self._jobs):
            if job.job_id in ended & self._ended - self._said:
                self._said.add(job.job_id)
                if not _went_well(job):
                    note(f"worker {place} ({job.job_id}) has died, {job.state}: {_last_line(job.paths.stderr)}")
        over = self._ended == ended and len(ended) == len(self._jobs)
        self._ended = ended
        return over or (len(ended) < len(self._jobs) and self._is_out_of_queue())

    def end(self) -> None:
        """Let the workers end, and cancel those that do not."""
        until = time.monotonic() + ENDING
        while time.monotonic() < until:
            if all(job.done() for job in self._jobs):
                return
            time.sleep(0.5)
        self.cancel()

    def cancel(self) -> None:
        """Stop them now."""
        if self._is_slurm:
            subprocess.run(["scancel", *self._ids], check=False)
            return
        for job in self._jobs:
            job.cancel(check=False)

    def _states(self) -> list[str]:
        self._jobs[0].get_info(mode="force")  # of all of them
        return [job.state.upper() for job in self._jobs]

    def _is_out_of_queue(self) -> bool:
        """Whether squeue says so, for clusters without the accounting that sacct reads."""
        now = time.monotonic()
        if not self._is_slurm or now - self._asked < ASKING:
            return False
        self._asked = now
        if any(job.state != "UNKNOWN" for job in self._jobs):
            return False
        command = ["squeue", "--noheader", f"--jobs={','.join(self._ids)}"]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return False
        return not asked.stdout.strip() and (asked.returncode == 0 or "Invalid job id" in asked.stderr)


def script(workers: int, folder: Path, parameters: Parameters) -> str:
    """What sbatch would be given, as `submitit` writes it."""
    executor = _Unsent(folder, **{key.removeprefix("slurm_"): value for key, value in parameters.executor.items()})
    special = {key.removeprefix("slurm_"): value for key, value in parameters.job.items() if key.startswith("slurm_")}
    common = {key: value for key, value in parameters.job.items() if not key.startswith("slurm_")}
    executor.update_parameters(**executor._convert_parameters(common), **special)
    if workers > 1:
        executor.parameters["map_count"] = workers
    return executor._make_submission_file_text(executor._submitit_command_str, "")


class _Unsent(SlurmExecutor):
    """Of a machine that need not be part of a cluster."""

    @classmethod
    def affinity(cls) -> int:
        return 1


def _went_well(job: Job[Any]) -> bool:
    try:
        return bool(pickle_load(job.paths.result_pickle)[0] == "success")
    except (OSError, EOFError):
        return False


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").split("\n")
    except OSError:
        return f"no log at {path}"
    said = next((line for line in reversed(lines) if line.strip()), "it has said nothing")
    return f"{one_line(said)} ({path})"
