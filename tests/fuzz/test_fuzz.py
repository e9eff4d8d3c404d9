"""The slow suite's 3,000 damaged inputs, and that the harness finds what it is there to find."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.fuzz import harness, kinds


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds.names())
def test_each_input_is_read_or_refused(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "tests.fuzz", kind]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace")
    with capsys.disabled():
        print(f"\n{done.stdout}", end="")
    assert done.returncode == 0, done.stderr[-2000:]
