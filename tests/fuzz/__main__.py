"""``python -m tests.fuzz [KIND ...] [--seed N] [--count N]``: the table, and what failed with its seed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import kinds
from tests.fuzz.harness import run

HEAD = f"{'kind':12} {'inputs':>6} {'read':>6} {'refused':>7} {'failed':>6} {'seconds':>7}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", nargs="*", default=kinds.names(), help="default: all")
    parser.add_argument("--seed", type=int, default=0, help="of the first input")
    parser.add_argument("--count", type=int, help="inputs a kind; default: the kind's own number")
    parser.add_argument("--told", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.told:
        return _one(given.kind[0], given.seed, given.count, given.told)
    print(HEAD, flush=True)
    return max([_in_a_process(name, given.seed, given.count) for name in given.kind])


def _in_a_process(name: str, seed: int, count: int | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "seed"
        numbers = ["--seed", str(seed), *(["--count", str(count)] if count else [])]
        done = subprocess.run([sys.executable, "-m", "tests.fuzz", name, *numbers, "--told", str(told)])
        if done.returncode not in (0, 1):
            last = told.read_text() if told.is_file() else "?"
            print(f"{name}: died with {done.returncode} on python -m tests.fuzz {name} --seed {last} --count 1")
            return 1
        return done.returncode


def _one(name: str, seed: int, count: int | None, told: Path) -> int:
    kind, began = kinds.kind(name), time.monotonic()
    stream = told.open("w")

    def tell(seed: int) -> None:
        stream.seek(0)
        stream.write(str(seed))
        stream.flush()

    tally = run(name, kind, seed, count or kind.inputs, tell)
    seconds = time.monotonic() - began
    row = f"{name:12} {tally.inputs:6} {tally.read:6} {tally.refused:7} {len(tally.failures):6} {seconds:7.0f}"
    print("\n".join([row, *tally.failures]), flush=True)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
