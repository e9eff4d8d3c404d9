"""Which process wrote something, and whether it still runs."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.runtime.process import described, is_gone, this_process


def test_a_process_that_has_ended_is_gone_and_one_that_runs_or_cannot_be_seen_is_not() -> None:
    program = "import json; from bench.runtime.process import this_process; print(json.dumps(this_process()))"
    ended = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert is_gone(ended) and not is_gone(this_process())
    assert not is_gone({**ended, "machine": "another"}) and not is_gone({}) and not is_gone({**ended, "pid": "?"})
    # Its number may be another one's by now.
    assert is_gone({**this_process(), "started": "1"})
    assert described(ended) == f"process {ended['pid']} on {ended['host']}"
