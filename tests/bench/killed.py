"""What a process leaves that is killed while it writes a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.runtime.files import replacing


def left(target: Path, host: str | None = None, *, killed: bool = True) -> Path:
    """The temporary of a process that was killed while it wrote, or of one that lives; of this machine or another."""
    with replacing(target) as temporary:
        name = temporary.name
        temporary.write_bytes(b"whole")
    target.unlink()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    shown, here, pid, *rest = name.rsplit(".", 4)
    path = target.with_name(".".join([shown, host or here, str(ended.pid) if killed else pid, *rest]))
    path.write_bytes(b"torn")
    return path
