"""Where a command's time goes, by areas of the code: a thread that looks at the main thread's stack every 2 ms.

Unlike a profiler that counts calls, it lengthens nothing that it measures. ``python -m tests.benchmarks.profiling
bench's arguments`` prints the areas' shares and seconds as JSON on the last line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
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


def sample(seen: Counter[str], thread: int, ended: threading.Event) -> None:
    """Count where the thread is, until it has ended."""
    while not ended.wait(EVERY):
        seen[area(sys._current_frames().get(thread))] += 1


def profiled(*arguments: str) -> dict[str, float]:
    """Seconds of a ``bench`` command by area, in a process of its own. Raises CalledProcessError where it fails."""
    line = [sys.executable, "-m", "tests.benchmarks.profiling", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _main() -> int:
    seen: Counter[str] = Counter()
    ended = threading.Event()
    sampler = threading.Thread(target=sample, args=(seen, threading.get_ident(), ended), daemon=True)
    begin = time.perf_counter()
    sampler.start()
    code = main(sys.argv[1:])
    seconds = time.perf_counter() - begin
    ended.set()
    sampler.join()
    names = (*AREAS, HARNESS, IMPORTS)
    print("\n" + json.dumps({name: seconds * seen[name] / seen.total() for name in names}))
    return code


if __name__ == "__main__":
    sys.exit(_main())
