"""``bench doctor``."""

from __future__ import annotations

import argparse

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "versions, device, extras and datasets found: what to put into a bug report"
    commands.add("doctor", text, _doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    from bench.commands.doctor import doctor

    for title, lines in doctor(options.settings_of(arguments)).items():
        print(f"{title}:")
        for name, value in lines.items():
            print(f"  {name:28} {value}")
