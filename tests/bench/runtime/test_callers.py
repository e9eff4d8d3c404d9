"""Who calls has no part in it: a script without a guard, standard input, a notebook and pytest all start processes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.bench.conftest import Toy, install

PLUGIN = '''
import os
import signal
import time

from bench.contracts import Refiner


class Odd(Refiner):
    """Ends as it is told."""

    def __init__(self, *, end: str = "well"):
        self.end = end

    def refine(self, images, maps):
        if self.end == "crash":
            os._exit(7)
        if self.end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.end == "hang":
            time.sleep(600)
        return maps
'''

PROGRAM = """
import bench
from bench.commands.check import check
from bench.contracts import UserError

done = bench.run(
    dataset=[{dataset!r}],
    base=[{base!r}],
    refiner=["odd[end=crash]", "odd[end=kill]"],
    on_error="skip",
    device="cpu",
    store="store",
)
print("computed", len(done.records()))
print(*done.failures.values(), sep="\\n")
try:
    for _, line in check(["odd[end=hang]"], timeout=3):
        if line.status == "FAIL":
            print("hang", line.detail)
except UserError as error:
    print(error)
"""


def _script(program: str) -> str:
    Path("script.py").write_text(program)
    return _python("script.py")


def _standard_input(program: str) -> str:
    return _python("-", input=program)


def _pytest(program: str) -> str:
    """In this process."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(program, {})
    return printed.getvalue()


def _notebook(program: str) -> str:
    cells = [nbformat.v4.new_code_cell(source) for source in (program, "done")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert "| identity" in next(output.data["text/markdown"] for output in outputs if "data" in output)
    return "".join(output.text for output in outputs if output.output_type == "stream")


def _python(*arguments: str, input: str | None = None) -> str:
    process = subprocess.run([sys.executable, *arguments], input=input, capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.parametrize("way", [_script, _standard_input, _notebook, _pytest])
def test_every_caller_gets_its_result_or_the_reason(
    way: Callable[[str], str], toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "odd_plugin", PLUGIN, "[bench.refiners]\nodd = odd_plugin:Odd\n", monkeypatch)
    paths = [str(tmp_path / "site"), str(Path(__file__).parents[3])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.chdir(tmp_path)
    printed = way(PROGRAM.format(dataset=toy.dataset, base=toy.base))
    assert "computed 2" in printed
    assert "the process ended with exit code 7" in printed
    assert "the process was killed by SIGKILL" in printed
    assert "hang the process that ran this check: no answer within 3 s" in printed
