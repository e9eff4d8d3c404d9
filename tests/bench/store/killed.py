"""Runs that are killed at a file operation of the test's choice. A program: it forks, so that each costs little.

``python killed.py STEP LAST``: kills a run at its operations 1, 1 + STEP, ... (0 counts them), runs the same again, and
prints a line of JSON for each: the operation, and what is wrong with the store then; ``LAST`` bounds the operations.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bench
from bench.store import RUNS, Store, maps
from tests.bench.records import METRIC_COLUMNS

OPERATIONS = {
    "os.rename",
    "os.remove",
    "os.link",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "shutil.rmtree",
    "shutil.copytree",
}


def run(store: str) -> None:
    maps.SHARD_MAPS = 2
    bench.run(
        dataset=["folder[images=images,masks=masks,val=0.3,test=0.5]"],
        base=["maps[path=maps]"],
        refiner=["threshold", "morphology[tune=2]"],
        store=store,
        device="cpu",
        engine="inline",
        keep_maps="4",
    )


def counted(store: str, until: int) -> int:
    """Run, and be killed at an operation; how many there were, of a run that was not."""
    seen = 0
    root = str(Path(store).absolute())

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in OPERATIONS) and any(str(one).startswith(root) for one in arguments[:2]):
            seen += 1
            if seen == until:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    run(store)
    return seen


def forked(function: Callable[[], object], after: float | None = None) -> int:
    """The exit status of a fork that calls the function; killed after some seconds."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if after is not None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, after)
    status = os.waitpid(pid, 0)[1]
    signal.setitimer(signal.ITIMER_REAL, 0)
    return status


def found(store: str) -> tuple[list[str], list[str]]:
    """What the cells and the fits hold but for what was measured, and the names of all files but the runs' logs."""
    opened = Store(store)
    cells = [
        cell.key + cell.status + opened.records(cell)[["id", *METRIC_COLUMNS]].to_json(double_precision=15)
        for cell in opened.manifests()
    ]
    learned = [path.read_text() for path in sorted(Path(store).glob("refiners/*/t*.json*"))]
    paths = [path.relative_to(store).as_posix() for path in sorted(Path(store).rglob("*")) if path.is_file()]
    names = [name for name in paths if not name.startswith(f"{RUNS}/")]
    return cells + learned, [name.replace(".2.", ".1.") for name in names]


def main() -> None:
    step, last, at_random = (int(argument) for argument in sys.argv[1:])
    run("whole")
    expected = found("whole")
    total = 0

    def count() -> None:
        Path("count").write_text(str(counted("counted", 0)))

    forked(count)
    total = int(Path("count").read_text())
    draw = random.Random(1)
    operations = [None] * at_random + list(range(1, min(last, total) + 1, step))
    for operation in operations:
        shutil.rmtree("killed", ignore_errors=True)
        if operation is None:
            status = forked(lambda: run("killed"), after=draw.uniform(0.02, 0.7))
        else:
            status = forked(partial(counted, "killed", operation))
        resumed = forked(lambda: run("killed"))
        wrong = []
        if operation is not None and status != signal.SIGKILL:
            wrong.append(f"was not killed but ended with {status}")
        if resumed != 0:
            wrong.append(f"the same run again ended with {resumed}")
        else:
            cells, names = found("killed")
            wrong += ["other numbers"] if cells != expected[0] else []
            wrong += sorted(set(names) ^ set(expected[1]))
        print(json.dumps([operation, wrong]), flush=True)


if __name__ == "__main__":
    main()
