"""Packages put where Python finds them, with their entry points, as pip would do without its network."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest


def put_on_path(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an unbuilt package's modules importable and its entry points known."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")
    monkeypatch.syspath_prepend(str(package))
