"""Runs as SLURM arrays: on a cluster of one machine, and by submitit's own local executor."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import bench
from bench.cli import main
from bench.commands.dry_run import dry_run
from bench.contracts import UserError
from bench.execution.engines import Placement
from bench.execution.study import CellError
from bench.store import Store
from tests.bench.conftest import Toy, install
from tests.bench.execution.engines import cluster
from tests.bench.records import METRIC_COLUMNS

pytest.importorskip("submitit", reason="needs refinebench[slurm]")
from bench.execution.engines import slurm
from bench.execution.engines.slurm.parameters import Parameters

Begin = Callable[..., subprocess.Popen[bytes]]

REFINERS = '''
import os, signal, time
from pathlib import Path

from bench.contracts import Refiner


class Marking(Refiner):
    """Halves the maps, leaves a line in a file whenever it is made to refine, and does as badly as it is told."""

    def __init__(self, *, wrong: str = "nothing", factor: float = 0.5):
        self.wrong, self.factor, self.begun = wrong, factor, False

    def fit(self, val, workdir):
        raise AssertionError("not trainable")

    def refine(self, images, maps):
        if not self.begun:
            self.begun = True
            with Path("began").open("a") as file:
                file.write(f"{self.wrong} {self.factor}\\n")
        if self.wrong == "raises":
            raise ZeroDivisionError("a defect of the plug-in")
        if self.wrong == "large" and len(Path("began").read_text().split("large")) == 2:
            Path("out_of_memory").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while self.wrong == "waits" and not Path("go").exists():
            time.sleep(0.05)
        return [probs * self.factor for probs in maps]
'''


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path(__file__).parents[4]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{root}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    install(tmp_path / "site", "marking", REFINERS, "[bench.refiners]\nmarking = marking:Marking\n", monkeypatch)
    monkeypatch.setattr(slurm, "LOOK", 0.2)
    monkeypatch.setattr(slurm, "BACKOFF", 0.1)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a cluster's jobs; what still runs in the end is ended."""
    found = cluster.install(tmp_path / "cluster", monkeypatch)
    yield found
    for process in cluster.processes(found):
        process.kill()


def run(toy: Toy, *refiners: str, **options: Any) -> Any:
    asked: dict[str, Any] = {"dataset": [toy.dataset], "base": [toy.base], "refiner": list(refiners), "device": "cpu"}
    return bench.run(**asked, **{"engine": "slurm", "jobs": 2, **options})


def frames(store: Store) -> dict[str, pd.DataFrame]:
    columns = ["id", *METRIC_COLUMNS]
    return {cell.refiner: store.records(cell)[columns] for cell in store.manifests() if cell.status == "done"}


def assert_same(one: Store, other: Store) -> None:
    found, expected = frames(one), frames(other)
    assert found.keys() == expected.keys()
    for name in expected:
        pd.testing.assert_frame_equal(found[name], expected[name], check_exact=True)


@pytest.fixture
def begin(toy: Toy) -> Iterator[Begin]:
    """Starts a run in a process of its own, ``begin(refiner, ..., options=[...])``; ended with the test."""
    patched = "from bench.execution.engines import slurm; slurm.LOOK = slurm.BACKOFF = 0.2; "
    code = f"import sys; {patched}from bench.cli import main; sys.exit(main())"
    begun: list[subprocess.Popen[bytes]] = []

    def start(*refiners: str, options: Sequence[str]) -> subprocess.Popen[bytes]:
        asked = ["--dataset", toy.dataset, "--base", toy.base, "--refiner", *refiners, "--store", "store", *options]
        begun.append(subprocess.Popen([sys.executable, "-c", code, "run", *asked, "--engine", "slurm"]))
        return begun[-1]

    yield start
    for process in begun:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            for one in (root, *root.children(recursive=True)):
                one.kill()


def until(true: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def began() -> list[str]:
    return Path("began").read_text().splitlines() if Path("began").exists() else []


# What --slurm says.


@pytest.mark.parametrize(
    ("key", "value", "parsed"),
    [
        ("timeout_min", "90", {"timeout_min": 90}),
        ("mem_gb", "1.5", {"mem_gb": 1.5}),
        ("partition", "gpu", {"slurm_partition": "gpu"}),
        ("slurm_partition", "gpu", {"slurm_partition": "gpu"}),
        ("account", "123", {"slurm_account": "123"}),
        ("array_parallelism", "4", {"slurm_array_parallelism": 4}),
        ("stderr_to_stdout", "true", {"stderr_to_stdout": True}),
        ("exclusive", "user", {"slurm_exclusive": "user"}),
        ("use_srun", "false", {"slurm_use_srun": False}),
        ("setup", "module load cuda; date", {"slurm_setup": ["module load cuda; date"]}),
        ("srun_args", "--mpi none", {"slurm_srun_args": ["--mpi", "none"]}),
        ("sbatch_gpu_bind", "none", {"slurm_additional_parameters": {"requeue": True, "gpu_bind": "none"}}),
        ("sbatch_no_requeue", "true", {"slurm_additional_parameters": {"no_requeue": True}}),
    ],
)
def test_values_have_the_types_that_submitit_wants(key: str, value: str, parsed: dict[str, Any]) -> None:
    assert Parameters.of({key: value}).job.items() >= parsed.items()


@pytest.mark.parametrize(
    ("given", "where", "fix"),
    [
        ("patition=gpu", "--slurm", "did you mean 'partition'?"),
        ("timeout_min=long", "--slurm timeout_min", "write --slurm timeout_min=240"),
        ("mem_gb=-3", "--slurm mem_gb", "write --slurm mem_gb=32"),
        ("use_srun=maybe", "--slurm use_srun", "write one of the two"),
        ("nodes=2", "--slurm nodes", "--jobs N"),
        ("sbatch_array=0-9", "--slurm sbatch_array", "--jobs N"),
        ("partition=", "--slurm partition", "leave it out"),
        ("cluster=sge", "--slurm cluster", "slurm"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_nothing_is_written(
    toy: Toy, given: str, where: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--dataset", toy.dataset, "--base", toy.base, "--refiner", "identity", "--store", "new"]
    assert main(["run", *options, "--engine", "slurm", "--slurm", given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"({where})" in line and fix in line
    assert not Path("new").exists()


def test_no_sbatch_is_one_line_and_nothing_is_written(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"no sbatch here .*cluster=local"):
        run(toy, "identity", store="new")
    assert not Path("new").exists()


def test_workers_of_a_run_with_its_store_in_a_bucket_need_a_folder() -> None:
    pytest.importorskip("obstore", reason="needs refinebench[cloud]")
    bucket = Store("s3://bucket/prefix")
    with pytest.raises(UserError, match="--slurm folder=DIR"):
        slurm.check(Placement(slurm={"cluster": "local"}), bucket)
    slurm.check(Placement(slurm={"cluster": "local", "folder": "here"}), bucket)


# Runs on a cluster.


@pytest.mark.usefixtures("jobs")
def test_what_sbatch_refuses_is_one_line(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="invalid partition specified: closed"):
        run(toy, "identity", slurm=["partition=closed"])
    assert "sbatch" not in capsys.readouterr().err


def test_one_array_for_a_run_with_the_numbers_of_a_local_one_and_each_failure_once(toy: Toy, jobs: Path) -> None:
    refiners = "threshold", "marking", "marking[wrong=raises]"
    given = ["partition=gpu", "timeout_min=30", "gpus_per_node=1", "signal_delay_s=60", "account=me", "sbatch_nice=5"]
    result = run(toy, *refiners, jobs=3, slurm=given, store="one", keep_maps="4", on_error="skip")
    assert list(result.failures.values()) == ["ZeroDivisionError: a defect of the plug-in"]
    failed = [cell for cell in result.store.manifests() if cell.status == "failed"]
    assert [(cell.refiner, cell.error) for cell in failed] == [(refiners[2], *result.failures.values())]
    assert began().count("raises 0.5") == 1
    assert all(result.store.kept(cell.key) for cell in result.store.manifests() if cell.status == "done")
    assert result.shared == set() and result.store.objects.names("leases/") == []
    other = run(toy, *refiners, engine="inline", jobs=None, store="other", on_error="skip")
    assert_same(result.store, other.store)
    (script,) = cluster.scripts(jobs)
    options = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert options >= {"array=0-2%3", "partition=gpu", "time=30", "gpus-per-node=1", "account=me", "nice=5"}
    assert options >= {"signal=USR2@60", "requeue", "job-name=bench", "open-mode=append"}


def test_the_script_that_is_shown_is_the_one_that_is_sent(
    toy: Toy, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute = slurm.execute

    def shown(stages: Any, told: Any, placement: Placement) -> None:
        with monkeypatch.context() as bare:
            bare.setenv("PATH", "")
            asked.append(slurm.script(stages, placement))
        execute(stages, told, placement)

    monkeypatch.setattr(slurm, "execute", shown)
    run(toy, "marking", slurm=["mem_gb=2", "python=" + shlex.quote(sys.executable)], detach=True)
    assert cluster.scripts(jobs) == asked


def test_a_dry_run_shows_the_script_where_there_is_no_slurm(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    grid: dict[str, Any] = {"dataset": [toy.dataset], "base": [toy.base], "refiner": ["threshold", "morphology"]}
    shown = dry_run(**grid, engine="slurm", jobs=20, slurm=["partition=gpu"], store="new")
    assert "#SBATCH --array=0-2%3" in shown.script and "#SBATCH --partition=gpu" in shown.script
    assert not Path("new").exists()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_made_up_for(
    toy: Toy, jobs: Path, begin: Begin, capfd: pytest.CaptureFixture[str]
) -> None:
    process = begin("marking[wrong=waits]", "threshold", options=["--jobs", "1"])
    until(began)
    for one in reversed(cluster.processes(jobs)):
        one.kill()
    Path("go").touch()
    assert process.wait(240) == 0
    said = capfd.readouterr().err
    assert "worker 0 (101) has died, FAILED" in said and "all workers have ended, others are sent for the" in said
    assert len(cluster.scripts(jobs)) == 2
    refiners = "marking[wrong=waits]", "threshold"
    assert_same(Store("store"), run(toy, *refiners, engine="inline", jobs=None, store="other").store)


@pytest.mark.slow
def test_ctrl_c_cancels_the_array(jobs: Path, begin: Begin, capfd: pytest.CaptureFixture[str]) -> None:
    process = begin("marking[wrong=waits]", options=["--jobs", "2"])
    until(began)
    process.send_signal(signal.SIGINT)
    assert process.wait(240) == 130
    assert "cancelled SLURM job 101 of 2 workers: what is finished is kept" in capfd.readouterr().err
    until(lambda: not cluster.processes(jobs), 30)


@pytest.mark.slow
def test_detached_the_array_goes_on_alone(jobs: Path, begin: Begin, capfd: pytest.CaptureFixture[str]) -> None:
    refiners = "marking[wrong=waits]", "marking[wrong=raises]"
    assert begin(*refiners, options=["--detach", "--on-error", "skip"]).wait(240) == 0
    assert "to stop it: scancel 101" in capfd.readouterr().err
    assert not [cell for cell in Store("store").manifests() if "waits" in cell.refiner and cell.status == "done"]
    Path("go").touch()
    until(lambda: not any(cluster.processes(jobs)))
    cells = {cell.refiner: cell.status for cell in Store("store").manifests()}
    assert cells == {"identity": "done", "marking[wrong=waits]": "done", "marking[wrong=raises]": "failed"}


@pytest.mark.slow
def test_when_the_terminal_is_closed_the_array_goes_on(jobs: Path, begin: Begin) -> None:
    process = begin("marking[wrong=waits]", options=["--jobs", "1"])
    until(began)
    process.send_signal(signal.SIGHUP)
    assert process.wait(240) == 128 + signal.SIGHUP
    Path("go").touch()
    until(lambda: not cluster.processes(jobs))
    assert {cell.status for cell in Store("store").manifests()} == {"done"}


# What fails.


def test_the_first_failure_stops_the_others(toy: Toy, jobs: Path) -> None:
    with pytest.raises(CellError, match="in refine"):
        run(toy, "marking[wrong=waits]", "marking[wrong=raises]", on_error="fail", store="one")
    until(lambda: not cluster.processes(jobs), 30)
    states = {cell.refiner: cell.status for cell in Store("one").manifests()}
    assert states["marking[wrong=raises]"] == "failed" and states["marking[wrong=waits]"] == "planned"


@pytest.mark.slow
def test_what_was_killed_for_its_memory_is_tried_again_with_twice_as_much(toy: Toy, jobs: Path) -> None:
    result = run(toy, "marking[wrong=large]", slurm=["mem_gb=2"], jobs=1)
    assert result.failures == {}
    first, second = cluster.scripts(jobs)
    assert "--mem=2GB" in first and "--mem=4GB" in second
    assert {cell.status for cell in result.store.manifests()} == {"done"}


# submitit's own executor.


@pytest.mark.slow
def test_without_slurm_on_this_machine(toy: Toy) -> None:
    result = run(toy, "threshold", slurm=["cluster=local"], store="one")
    assert_same(result.store, run(toy, "threshold", engine="inline", jobs=None, store="other").store)


@pytest.mark.slow
def test_a_worker_that_is_to_be_put_back_into_the_queue_resumes(begin: Begin, tmp_path: Path) -> None:
    process = begin("marking[wrong=waits]", options=["--jobs", "1", "--slurm", "cluster=local"])
    until(began)
    (pickled,) = tmp_path.glob("store/runs/*/workers/*_submitted.pkl")
    (controller,) = [one for one in psutil.Process(process.pid).children() if str(one.pid) in pickled.name]
    # As SLURM does: all processes of the job get the signal.
    for one in controller.children(recursive=True):
        one.send_signal(signal.SIGUSR2)
    until(lambda: len(began()) == 2)
    Path("go").touch()
    assert process.wait(240) == 0
    cells = {cell.refiner: cell.status for cell in Store("store").manifests()}
    assert cells == {"identity": "done", "marking[wrong=waits]": "done"}
    journal = [json.loads(line)["outcome"]["error"] for line in next(tmp_path.glob("store/runs/*/ended/*")).open()]
    assert len(journal) == 3 and not any(journal)
