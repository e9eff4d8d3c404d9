"""A SLURM of one machine, as far as `submitit` calls it: what sbatch is given runs here, each task a process.

A program, called by the names of SLURM's commands (see `install`). In ``$CLUSTER`` there is a folder for each job, with
its script as submitted; in it a file for each task with its process and its state.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "squeue")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the commands on the path; the folder of the cluster's jobs."""
    (folder / "bin").mkdir(parents=True)
    for command in COMMANDS:
        path = folder / "bin" / command
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} {command} "$@"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTER", str(folder / "jobs"))
    (folder / "jobs").mkdir()
    return folder / "jobs"


def scripts(jobs: Path) -> list[str]:
    """What was submitted, in order."""
    return [path.read_text() for path in sorted(jobs.glob("*/script.sh"))]


def processes(jobs: Path) -> list[psutil.Process]:
    """All that run."""
    found = []
    for path in jobs.glob("*/*.json"):
        told = json.loads(path.read_text())
        if told["state"] != "COMPLETED":
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(told["pid"])
                found += [root, *root.children(recursive=True)]
    return found


def sbatch(jobs: Path, script: str) -> None:
    job = str(101 + len(list(jobs.iterdir())))
    text = Path(script).read_text()
    if "--partition=closed" in text:
        sys.exit("sbatch: error: invalid partition specified: closed")
    (jobs / job).mkdir()
    (jobs / job / "script.sh").write_text(text)
    array = re.search(r"--array=0-(\d+)", text)
    for task in range(int(array[1]) + 1) if array else [None]:
        command = [sys.executable, __file__, "task", job, "" if task is None else str(task)]
        subprocess.Popen(
            command,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    print(f"Submitted batch job {job}")


def task(jobs: Path, job: str, number: str) -> None:
    """Run one, and write down how it ended."""
    name = f"{job}_{number}" if number else job
    environment = os.environ | {"SLURM_JOB_ID": str(os.getpid()), "NAME": name}
    environment |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": number} if number else {"SLURM_JOB_ID": job}
    process = subprocess.Popen(["bash", str(jobs / job / "script.sh")], env=environment)
    told = jobs / job / f"{name}.json"
    told.write_text(json.dumps({"pid": process.pid, "state": "RUNNING"}))
    code = process.wait()
    if json.loads(told.read_text())["state"] == "RUNNING":
        out_of_memory = code and Path("out_of_memory").exists()
        state = "OUT_OF_MEMORY" if out_of_memory else "FAILED" if code else "COMPLETED"
        told.write_text(json.dumps({"pid": process.pid, "state": state}))


def srun(jobs: Path, *arguments: str) -> None:
    at, streams = list(arguments), {"--output": "", "--error": ""}
    while at[0].startswith("--"):
        option = at.pop(0)
        if option in streams:
            streams[option] = at.pop(0)
    for number, option in enumerate(streams, 1):
        job, _, task = os.environ["NAME"].partition("_")
        path = streams[option].replace("%A", job).replace("%a", task).replace("%j", job).replace("%t", "0")
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.execvp(at[0], at)


def sacct(jobs: Path, *arguments: str) -> None:
    print("JobID|State|NodeList")
    for job in arguments[arguments.index("-j") + 1 :]:
        for path in sorted((jobs / job).glob("*.json")):
            print(f"{path.stem}|{json.loads(path.read_text())['state']}|here")


def squeue(jobs: Path, *arguments: str) -> None:
    job = arguments[-1].partition("=")[2]
    for path in (jobs / job).glob("*.json"):
        if json.loads(path.read_text())["state"] == "RUNNING":
            print(path.stem)


def scancel(jobs: Path, *cancelled: str) -> None:
    for job in cancelled:
        for path in (jobs / job).glob("*.json"):
            told = json.loads(path.read_text())
            if told["state"] != "RUNNING":
                continue
            path.write_text(json.dumps({**told, "state": "CANCELLED by 0"}))
            root = psutil.Process(told["pid"])
            family = [root, *root.children(recursive=True)]
            for number in (signal.SIGTERM, signal.SIGKILL):
                for process in family:
                    if process.is_running():
                        process.send_signal(number)
                time.sleep(1.0)


if __name__ == "__main__":
    {one.__name__: one for one in (sbatch, task, srun, sacct, squeue, scancel)}[sys.argv[1]](
        Path(os.environ["CLUSTER"]), *sys.argv[2:]
    )
