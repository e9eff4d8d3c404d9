"""Write the pages of docs/reference/ from the code: ``python docs/generate.py``.

With ``--check`` nothing is written: the exit code is 1 where a page is not what the code says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from generator import cli, python
from generator.docstrings import Link
from generator.plugins import Plugins

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Generated from the code by `make docs`: edit the docstrings and help texts, not this file. -->"


def pages() -> dict[str, str]:
    """File name -> its contents."""
    plugins = Plugins()
    targets = {**plugins.targets(), **python.targets()}

    def link_from(page: str) -> Link:
        return lambda target: _address(targets, target).removeprefix(page)

    bodies = {
        "cli.md": cli.page(),
        "python.md": python.page(link_from("python.md")),
        "plugins.md": plugins.page(link_from("plugins.md")),
    }
    return {name: f"{HEAD}\n\n{body}\n" for name, body in bodies.items()}


def _address(targets: dict[str, str], target: str) -> str:
    # A member stands where its class does.
    return targets.get(target) or targets.get(target.rpartition(".")[0], "")


def stale(folder: Path = FOLDER) -> list[Path]:
    """The pages that are missing, or not what the code says."""
    return [
        folder / name
        for name, text in pages().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main(argv: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """0 done, 1 a page is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    if parser.parse_args(argv).check:
        found = stale(folder)
        for path in found:
            print(f"{path} is not what the code says: run make docs", file=sys.stderr)
        return 1 if found else 0
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
