"""Where a command's time goes, by areas of the code: a timer that looks at the stack every 2 ms.

Unlike a profiler that counts calls, it lengthens nothing that it measures. And it is no thread, which would come to
look mostly where the interpreter's lock is free: while files are read and decoded. ``python -m
tests.benchmarks.profiling bench's arguments`` prints the areas' seconds as JSON on the last line.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from types import FrameType

from bench.cli import main

EVERY = 0.002
AREAS = {
    "metrics": ("/bench/metrics/",),
    "refiners": ("/refiners/",),
    "reading and decoding": ("/bench/images/", "/bench/datasets/", "/bench/runtime/reading.py", "/bench/store/maps.py"),
    "storing": ("/bench/store/", "/bench/runtime/files.py"),
}
"""Parts of file names. The outermost frame that is in one says what a sample is; what is in none is the harness."""

IMPORTS = "imports"
HARNESS = "harness"


def area(frame: FrameType | None) -> str:
    """Whose work a stack is, given its innermost frame."""
    found = HARNESS
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return IMPORTS
        found = next((area for area, parts in AREAS.items() if any(part in name for part in parts)), found)
        frame = frame.f_back
    return found


def profiled(*arguments: str) -> dict[str, float]:
    """Seconds of a ``bench`` command by area, in a process of its own. Raises CalledProcessError where it fails."""
    line = [sys.executable, "-m", "tests.benchmarks.profiling", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _main() -> int:
    spent = dict.fromkeys((*AREAS, HARNESS, IMPORTS), 0.0)
    last = time.perf_counter()

    def look(_: int, frame: FrameType | None) -> None:
        # Called once the call that the timer fell into has come back, with the frame that called: all since the last
        # look is its, however long.
        nonlocal last
        now = time.perf_counter()
        spent[area(frame)] += now - last
        last = now

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    code = main(sys.argv[1:])
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("\n" + json.dumps(spent))
    return code


if __name__ == "__main__":
    sys.exit(_main())
