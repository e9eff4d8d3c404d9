"""Plug-ins of other packages that fail on import: named where plug-ins are listed, and harmless there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bench.cli import main
from bench.plugins import catalogue

MODULES = {
    "fine": 'print("noise")\nclass Plugin:\n    """Does no harm."""\n    def __init__(self, *, level: int = 3): ...\n',
    "raises": "raise RuntimeError('first line\\nsecond line')\n",
    "leaves": "raise SystemExit('not here')\n",
    "dies": "import os\nos._exit(3)\n",
    "crashes": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "empty": "",
    "slow": "import time\ntime.sleep(600)\n",
    "syntax": "def (\n",
}
PROBLEMS = {
    "fine": "",
    "raises": "broken: RuntimeError: first line",
    "leaves": "broken: SystemExit: not here",
    "dies": "broken: ended with exit code 3",
    "crashes": "broken: was killed by SIGSEGV",
    "empty": "broken: AttributeError: module 'plug_empty' has no attribute 'Plugin'",
    "slow": "broken: no answer within 3 s",
    "syntax": "broken: SyntaxError: ",
}


@pytest.fixture
def _broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    info = site / "strangers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    names = "".join(f"{name} = plug_{name}:Plugin\n" for name in MODULES)
    (info / "entry_points.txt").write_text(f"[bench.refiners]\n{names}[bench.datasets]\ndies = plug_dies:Plugin\n")
    for name, code in MODULES.items():
        (site / f"plug_{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "SECONDS", 3.0)


@pytest.mark.usefixtures("_broken")
def test_each_is_named_with_its_reason_and_the_others_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    assert main(["list", "refiners", "--json"]) == 0
    assert time.monotonic() - begin < 60  # the slow one sleeps ten minutes
    out = capfd.readouterr().out
    found = {entry["name"]: entry for entry in json.loads(out)["refiners"]}
    for name, problem in PROBLEMS.items():
        assert found[name]["status"].startswith(problem) and bool(found[name]["status"]) == bool(problem)
        assert "\n" not in found[name]["status"]
    assert found["fine"]["summary"] == "Does no harm." and found["fine"]["parameters"] == {"level": "3"}
    assert found["identity"]["status"] == ""


@pytest.mark.usefixtures("_broken")
def test_doctor_and_the_list_of_datasets_survive_them(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    assert "broken: ended with exit code 3" in capfd.readouterr().out
    assert main(["doctor"]) == 0
    out = capfd.readouterr().out
    assert "refiner crashes" in out and "broken: was killed by SIGSEGV" in out and "noise" not in out


@pytest.mark.usefixtures("_broken")
def test_a_command_loads_the_plug_in_it_names_and_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    assert main(["run", "--refiner", "leaves", "--device", "cpu"]) == 2
    assert "'leaves' is broken: SystemExit: not here" in capfd.readouterr().err
    assert time.monotonic() - begin < 20
