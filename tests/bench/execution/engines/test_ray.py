"""Stages on a Ray cluster of three nodes on this machine, with all that a cluster may lose."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import bench
from bench.commands.run import RunResult
from bench.contracts import UserError
from bench.runtime.progress import Step, overheard_by
from bench.store import Store
from tests.bench.conftest import Toy, install
from tests.bench.records import METRIC_COLUMNS

ray = pytest.importorskip("ray", reason="the ray extra is not installed")

from bench.execution.engines.ray import cluster, detached, needs, tasks  # noqa: E402

pytestmark = pytest.mark.slow

TOKEN = "0f" * 32

PLUGINS = '''
import os
import signal
import time
from pathlib import Path

import psutil

from bench.contracts import Refiner


class Unlucky(Refiner):
    """Halves the map; at its first call something happens, and at each it leaves a mark."""

    def __init__(self, *, end: str = "well", marks: str = ""):
        self.end, self.marks = end, Path(marks)

    def refine(self, images, maps):
        first = not self.marks.exists()
        with self.marks.open("a") as marks:
            marks.write(f"{os.environ['RAY_RAYLET_PID']} {os.environ['OMP_NUM_THREADS']}\\n")
        if self.end == "raises":
            raise ZeroDivisionError("of the plug-in")
        if first and self.end == "kills itself":
            os.kill(os.getpid(), signal.SIGKILL)
        if first and self.end == "kills the worker":
            next(process for process in psutil.Process().parents() if "ray::" in process.name()).kill()
            time.sleep(60)
        if first and self.end == "waits":
            time.sleep(60)
        if self.end == "takes long":
            time.sleep(1)
        return [probs / 2 for probs in maps]
'''


class Nodes:
    """The cluster; its head runs no tasks.

    Attributes:
        address: of it.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.address: str = self._cluster.address
        self._nodes: list[Any] = []
        for _ in range(2):
            self.add()

    def add(self) -> None:
        self._nodes.append(self._cluster.add_node(num_cpus=2, memory=8 * 2**30))

    def lose(self, raylet: int) -> None:
        """Kill the node whose raylet has that process number."""
        (node,) = (node for node in self._nodes if node.all_processes["raylet"][0].process.pid == raylet)
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def end(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    from ray._private.authentication_test_utils import reset_auth_token_state

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.delenv("OMP_NUM_THREADS", raising=False)
        reset_auth_token_state()
        found = Nodes()
        yield found
        found.end()
    reset_auth_token_state()


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks, "FIRST_PAUSE", 0.1)
    install(tmp_path / "site", "ray_toys", PLUGINS, "[bench.refiners]\nunlucky = ray_toys:Unlucky\n", monkeypatch)


def run(toy: Toy, *refiners: str, **options: Any) -> RunResult:
    return bench.run(dataset=[toy.dataset], base=[toy.base], refiner=list(refiners), device="cpu", **options)


def numbers(store: Store) -> dict[str, pd.DataFrame]:
    done = [cell for cell in store.manifests() if cell.status == "done"]
    return {cell.refiner.partition("[")[0]: store.records(cell)[["id", *METRIC_COLUMNS]] for cell in done}


def same(one: Store, other: Store) -> bool:
    found, expected = numbers(one), numbers(other)
    return found.keys() == expected.keys() and all(found[name].equals(expected[name]) for name in expected)


def unlucky(end: str, marks: Path) -> str:
    return f"unlucky[end={end},marks={marks}]"


def attempts(marks: Path) -> list[str]:
    return marks.read_text().splitlines()


def test_the_numbers_are_those_of_this_machine_and_each_process_has_the_threads_asked_for(
    toy: Toy, nodes: Nodes, tmp_path: Path
) -> None:
    calm, elsewhere = unlucky("well", tmp_path / "here"), unlucky("well", tmp_path / "there")
    os.environ.update(OMP_NUM_THREADS="1", RAY_RAYLET_PID="0")  # the plug-in reads them
    try:
        local = run(toy, "threshold", "morphology", calm, store=tmp_path / "local", engine="inline").store
    finally:
        del os.environ["OMP_NUM_THREADS"], os.environ["RAY_RAYLET_PID"]
    there = run(
        toy,
        "threshold",
        "morphology",
        elsewhere,
        store=tmp_path / "ray",
        engine="ray",
        address=nodes.address,
        workers=2,
    )
    assert same(there.store, local) and len(numbers(local)) == 4
    assert {line.split()[1] for line in attempts(tmp_path / "there")} == {"1"}
    assert not ray.is_initialized()


def test_how_far_a_stage_is_is_heard_here(toy: Toy, nodes: Nodes, tmp_path: Path) -> None:
    long, heard = unlucky("takes long", tmp_path / "marks"), list[Step | str]()
    with overheard_by(heard.append):
        result = run(toy, long, store=tmp_path / "s", engine="ray", address=nodes.address)
    (cell,) = (cell.manifest for cell in result.cells if cell.manifest.refiner != "identity")
    steps = [what for what in heard if isinstance(what, Step) and cell.key[:8] in what.stage]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[0].done == 0 < steps[-1].done and {step.total for step in steps[1:]} == {cell.largest}


@pytest.mark.parametrize("end", ["kills the worker", "kills itself"])
def test_what_is_killed_is_tried_again_with_another_lease(
    toy: Toy, nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    result = run(toy, unlucky(end, tmp_path / "marks"), store="s", engine="ray", address=nodes.address)
    assert not result.failures and len(numbers(result.store)["unlucky"]) == 2
    said = capsys.readouterr().err
    assert said.count("lost, its process was killed") == 1 and "attempt 2 of 6" in said
    assert (f" s with {2 * (needs.PROCESS + needs.UNKNOWN)} MiB" in said) == (
        end == "kills itself"
    )  # that may have been for memory
    assert result.store.objects.names("leases/") == [] and not list((tmp_path / "s" / "work").glob("cell-*"))


def test_a_node_that_is_lost_costs_no_cell(
    toy: Toy, nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = tmp_path / "marks"

    def lose() -> None:
        while not marks.exists() or not marks.read_text():
            time.sleep(0.1)
        nodes.lose(int(attempts(marks)[0].split()[0]))

    thread = threading.Thread(target=lose)
    thread.start()
    there = run(toy, "threshold", unlucky("waits", marks), store="s", engine="ray", address=nodes.address)
    thread.join()
    nodes.add()
    assert not there.failures and set(numbers(there.store)) == {"identity", "threshold", "unlucky"}
    said = capsys.readouterr()
    assert "lost, its" in said.err and "aylet" not in said.out + said.err
    assert len({line.split()[0] for line in attempts(marks)}) == 2


def test_a_plug_ins_error_is_its_own_and_is_not_tried_again(
    toy: Toy, nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raising = unlucky("raises", tmp_path / "marks")
    there = run(toy, raising, "threshold", store="s", engine="ray", address=nodes.address, on_error="skip")
    assert list(there.failures.values()) == ["ZeroDivisionError: of the plug-in"]
    assert len(attempts(tmp_path / "marks")) == 1 and "lost" not in capsys.readouterr().err
    assert set(numbers(there.store)) == {"identity", "threshold"}


def test_what_is_lost_each_time_fails_in_the_end(
    toy: Toy, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "RETRIES", 0)
    killing = unlucky("kills the worker", tmp_path / "marks")
    there = run(toy, killing, store="s", engine="ray", address=nodes.address, on_error="skip")
    (why,) = there.failures.values()
    assert why.startswith("lost 1 times, at last: its process was killed") and "it resumes" in why


def test_what_no_node_can_run_is_not_waited_for(toy: Toy, nodes: Nodes) -> None:
    with pytest.raises(UserError, match=r"asks for 64 CPUs, 0 GPUs and \d+ MiB, the largest node has 2 CPUs, 0"):
        run(toy, "threshold", store="s", engine="ray", address=nodes.address, workers=64)
    with pytest.raises(UserError, match=r"no node of the cluster has a GPU \(--device cuda\)"):
        bench.run(
            dataset=[toy.dataset],
            base=[toy.base],
            refiner=["threshold"],
            device="cuda",
            store="s",
            engine="ray",
            address=nodes.address,
        )


def test_a_node_with_another_bench_is_told_in_a_line(toy: Toy, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tasks.home()
    for module in (tasks, detached):
        monkeypatch.setattr(module, "home", lambda: {**ours, "version": "0.0.1"})
    for detach in (False, True):
        with pytest.raises(UserError, match=r"has refinebench \S+, this machine has 0\.0\.1 \(--engine ray\)"):
            run(toy, "threshold", store="s", engine="ray", address=nodes.address, detach=detach)


def test_the_cluster_goes_on_alone_with_runs_that_share_a_store(toy: Toy, nodes: Nodes, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    options: dict[str, Any] = {"engine": "ray", "address": nodes.address, "store": tmp_path / "s"}
    for refiners in (["threshold", unlucky("kills the worker", marks)], ["threshold", "morphology"]):
        run(toy, *refiners, **options, detach=True)
    assert not ray.is_initialized()
    store, until = Store(tmp_path / "s"), time.monotonic() + 240

    def logs() -> list[str]:
        return [log.read_text() for log in (tmp_path / "s" / "runs").glob(f"*/{detached.LOG}")]

    while sum("all is done" in log for log in logs()) < 2 and time.monotonic() < until:
        time.sleep(0.5)
    assert set(numbers(store)) == {"identity", "threshold", "morphology", "unlucky"}
    said = "".join(logs())
    assert said.count(" done: ") == 4 and said.count("lost, its process was killed") == 1
    ray.init(nodes.address, logging_level="ERROR", log_to_driver=False)
    try:
        # Each ends itself.
        while ray.util.list_named_actors(all_namespaces=True) and time.monotonic() < until:
            time.sleep(0.5)
        assert not ray.util.list_named_actors(all_namespaces=True)
    finally:
        ray.shutdown()


def test_an_address_where_no_such_cluster_is_is_answered_in_a_line(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(address: str) -> str:
        with pytest.raises(UserError) as caught:
            cluster.reach(address, f"--address {address}")
        assert "\n" not in str(caught.value)
        return caught.value.what

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        begin = time.monotonic()
        assert "Ray gets no answer there" in refused(f"127.0.0.1:{port}")
        assert time.monotonic() - begin < 20
    assert "nothing listens there: Connection refused" in refused(f"127.0.0.1:{port}")
    assert "nothing listens there" in refused("no-such-host.invalid:6379")
    for address in (nodes.address, "auto"):  # the one that this machine began last
        cluster.reach(address, "--address")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ff" * 32)
    assert refused(nodes.address) == "the cluster wants another token"
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert refused(nodes.address) == "the cluster wants another token"


@pytest.mark.parametrize(
    ("address", "said"),
    [("ray://10.0.0.5:10001", "the address of Ray's client"), ("10.0.0.5", "that is not HOST:PORT"), (":1", "HOST:P")],
)
def test_an_address_that_is_none(toy: Toy, address: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        run(toy, "threshold", store="s", engine="ray", address=address)


def test_a_run_of_its_own_cluster_that_is_interrupted_leaves_nothing_and_is_gone_on_with(
    toy: Toy, nodes: Nodes, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    names = ["--dataset", toy.dataset, "--base", toy.base, "--refiner", "threshold", unlucky("waits", marks)]
    command = [sys.executable, "-m", "bench.cli", "run", *names, "--engine", "ray", "--store", "s"]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])}
    with subprocess.Popen(command, env=here, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not marks.exists() and process.poll() is None:
            time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(60) == 130, process.stderr
    _, left = psutil.wait_procs(children, 30)
    assert children and not left
    assert Store("s").objects.names("leases/") == []
    again = subprocess.run(command, env=here, capture_output=True, text=True, timeout=180)
    assert again.returncode == 0 and set(numbers(Store("s"))) == {"identity", "threshold", "unlucky"}, again.stderr
