"""Stages as a SLURM array: one for a run, each of its jobs a worker that does what no other one has in hand.

The machines must see the store, the run's folder and the data under the same paths. A worker runs on a node what the
engine ``local`` would run here, in the store that leases keep the workers apart in; it enters into the store what has
become of a stage. So the array needs nobody: this process only watches it, and makes up for workers that are lost.
"""

from __future__ import annotations

import pickle
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from bench.contracts import UserError
from bench.execution.engines import Placement, Told
from bench.execution.engines.slurm import array
from bench.execution.engines.slurm.array import Array
from bench.execution.engines.slurm.parameters import Parameters
from bench.execution.engines.slurm.rest import Rest
from bench.execution.engines.slurm.worker import Worker
from bench.execution.stages import Stage
from bench.runtime.failures import SignalledError
from bench.runtime.progress import note
from bench.runtime.wording import counted
from bench.store import Store
from bench.store.objects import answering

SIGHUP = getattr(signal, "SIGHUP", None)
"""The terminal was closed."""

MOST = 32
"""Workers where ``--jobs`` does not say how many."""

LOOK = 1.0
"""Seconds between two looks at what the workers have done."""

RETRIES = 2
"""Arrays in a row that may end without any stage being done."""

BACKOFF = 10.0
"""Seconds before the first array that makes up for lost workers; twice as long each time that nothing is done."""


def check(placement: Placement, store: Store) -> None:
    """Before anything is written. Raises UserError for wrong parameters, and where jobs cannot be submitted."""
    parameters = Parameters.of(placement.slurm)
    if "://" in store.address and parameters.folder is None:
        fix = "name one that all machines see: --slurm folder=DIR"
        raise UserError("a run with its store in a bucket needs a folder for its workers", "--engine slurm", fix)
    for command in ("sbatch", "srun") if parameters.cluster == "slurm" else ():
        if shutil.which(command) is None:
            fix = "start it on a login node of the cluster, or try it on this machine with --slurm cluster=local"
            raise UserError(f"no {command} here", "--engine slurm", fix)


def script(stages: Sequence[Stage], placement: Placement) -> str:
    """What `execute` would give to sbatch. Raises UserError for wrong parameters."""
    parameters = Parameters.of(placement.slurm)
    return array.script(_workers(stages, placement), _folder(placement, parameters) / _WORKERS, parameters)


def execute(stages: Sequence[Stage], told: Told, placement: Placement) -> None:
    """See `bench.execution.engines`; ``told`` is a `bench.execution.engines.slurm.worker.Carried` of these stages.

    Raises:
        UserError: wrong parameters, sbatch refuses the job, or stages are left that no worker does.
    """
    if not stages:
        return
    arrays, rest, in_vain = _Arrays(told, placement), Rest(stages, told), 0
    while True:
        left = len(rest)
        sent = arrays.submit(rest.stages)
        note(f"{sent.name}; its logs: {arrays.folder / _WORKERS}")
        if placement.detach:
            note(f"it goes on without this process; to stop it: {sent.stopped_by}")
            return
        _watch(sent, rest, arrays.journals)
        if rest.stopped:
            return
        if not rest:
            sent.end()
            return
        in_vain = 0 if len(rest) < left else in_vain + 1
        if in_vain > RETRIES or sent.cancelled:
            break
        if sent.out_of_memory or rest.killed:
            arrays.give_more_memory()
        pause = BACKOFF * 2**in_vain
        note(f"all workers have ended, others are sent for the {counted(len(rest), 'stage')} left in {pause:g} s")
        time.sleep(pause)
    rest.give_up()
    if rest:
        first = rest.stages[0].name
        what = f"the workers have ended, and left is {counted(len(rest), 'stage')}, the first of them {first}"
        fix = f"see {arrays.folder / _WORKERS}, then run the same command again: it goes on where they stopped"
        raise UserError(what, "--engine slurm", fix)


_WORKERS, _ENDED, _PLAN = "workers", "ended", "plan.pkl"
"""In the run's folder: what `submitit` keeps, with the workers' logs; their journals; what they are to do."""


class _Arrays:
    """The arrays of a run, one after another.

    Attributes:
        folder: of the run, which all machines see.
        journals: of the workers of all of them.
    """

    def __init__(self, told: Told, placement: Placement) -> None:
        self._placement, self._parameters = placement, Parameters.of(placement.slurm)
        self.folder = _folder(placement, self._parameters)
        self.journals: list[Path] = []
        with answering(self.folder):
            for name in (_ENDED, _WORKERS):
                (self.folder / name).mkdir(parents=True)
            (self.folder / _PLAN).write_bytes(pickle.dumps(told))

    def submit(self, stages: Sequence[Stage]) -> Array:
        """Workers for the stages that are left."""
        before, first = self.journals, len(self.journals)
        places = range(_workers(stages, self._placement))
        beside = [self.folder / _ENDED / f"{first + place}.jsonl" for place in places]
        for path in beside:
            with answering(path):
                path.touch()  # a node may take some time to see a file that is new
        self.journals = [*before, *beside]
        watched = not self._placement.detach
        workers = [Worker(self.folder / _PLAN, place, beside, before, watched) for place in places]
        return Array(workers, self.folder / _WORKERS, self._parameters)

    def give_more_memory(self) -> None:
        """To the workers that are still to come."""
        self._parameters = self._parameters.with_more_memory


def _watch(sent: Array, rest: Rest, journals: Sequence[Path]) -> None:
    """Until nothing is left to do, nothing more is to be started, or all workers have ended."""
    try:
        while rest and not rest.stopped:
            over = sent.is_over()
            rest.look(journals, at_end=over)
            if over:
                return
            time.sleep(LOOK)
    except BaseException as error:
        if isinstance(error, SignalledError) and error.number == SIGHUP:
            note(f"{sent.name} goes on without this process; to stop it: {sent.stopped_by}")
            raise
        sent.cancel()
        note(f"cancelled {sent.name}: what is finished is kept, and the same command goes on")
        raise
    if rest.stopped:
        sent.cancel()


def _workers(stages: Sequence[Stage], placement: Placement) -> int:
    """How many have something to do."""
    return min(placement.jobs or MOST, len({stage.job.cell.manifest.key for stage in stages}))


def _folder(placement: Placement, parameters: Parameters) -> Path:
    folder = placement.folder if parameters.folder is None else parameters.folder / placement.folder.name
    return folder.absolute()
