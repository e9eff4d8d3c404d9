"""The tutorial as a reader would follow it: its files written, its commands run, in an environment of its own."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY

TUTORIAL = REPOSITORY / "docs" / "tutorial.md"
PROGRAM = "#!{python}\nimport sys\nfrom {module} import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables under which ``pip install`` reaches a throw-away environment that sees all packages of this one."""
    folder = tmp_path / "venv"
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # addsitedir and not a bare path: it reads the .pth files there, and so finds an editable refinebench.
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "ours.pth").write_text("\n".join(lines) + "\n")
    for name, module in (("bench", "bench.cli"), ("pip", "pip._internal.cli.main")):
        program = folder / "bin" / name
        program.write_text(PROGRAM.format(python=folder / "bin" / "python", module=module))
        program.chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "BENCH_DATA": str(tmp_path / "data")}


def test_each_block_does_what_it_says(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    said = ""
    for language, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if language == "python":
            name = text.partition("\n")[0].removeprefix("# ")
            assert (folder / name).is_file(), f"the tutorial changes {name}, which is not there"
            (folder / name).write_text(text)
        elif language == "sh":
            said += _run(text, folder, environment)
    assert said.count("refiner sharpen:") == 2 and "FAIL" not in said
    cells = pd.read_csv(folder / "tables" / "report.csv")
    iou = dict(zip(cells["refiner"], cells["iou"], strict=True))
    # What the tutorial promises: sharpened alone it gains nothing, averaged within colours it does.
    assert iou["sharpen"] > iou["identity"] + 0.02
    linted = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=folder / "sharpen", capture_output=True)
    assert linted.returncode == 0, linted.stdout.decode()


def _run(commands: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if "pip install" in commands and "hatchling" in done.stderr and done.returncode:
        pytest.skip("pip cannot fetch hatchling: no package index here")
    assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
