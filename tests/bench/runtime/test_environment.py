from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.contracts import UserError
from bench.runtime import environment
from bench.runtime.environment import describe, git_commit, gpu_names, pick_device


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_ours_or_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site" / "environment.py"
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(environment, "__file__", str(installed))
    assert git_commit() == ""  # no repository
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "the user's own")
    assert git_commit() == ""  # a repository that does not track the harness
    git(tmp_path, "add", "site")
    git(tmp_path, "commit", "-q", "-m", "a checkout")
    clean = git_commit()
    assert len(clean) == 40
    installed.write_text("# changed")
    assert git_commit() == f"{clean}+changes"


def test_the_description_is_json() -> None:
    described = json.loads(json.dumps(describe("cpu")))
    assert described["device"] == "cpu" and "cores" in described["device_name"]
    assert described["versions"]["numpy"]


def test_cuda_is_refused_where_there_is_none() -> None:
    if gpu_names():
        pytest.skip("this machine has a GPU")
    assert pick_device("auto") == "cpu"
    with pytest.raises(UserError, match="use --device cpu"):
        pick_device("cuda")
