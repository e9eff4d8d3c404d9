"""The page of the command line, off the parser's own objects."""

from __future__ import annotations

import argparse
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.cli import main, parser
from generator.docstrings import anchor, table

DEFAULTS: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / "bench.toml").read_text("utf-8"))["defaults"]


def page() -> str:
    """The Markdown text."""
    whole = parser()
    commands = dict(_commands(whole))
    codes = re.findall(r"(\d+) ([^,.]+)", inspect.getdoc(main) or "")
    rows = [(f"[`{name}`]({anchor(name)})", _sentence(command)) for name, command in commands.items()]
    return "\n\n".join(
        [
            "# Command line",
            f"{whole.description}\n{_plain((whole.epilog or '').partition(' Exit codes:')[0])}",
            "A default marked *bench.toml* is the one of its `[defaults]`, which a `bench.toml` of yours, or a named "
            "experiment, overrides.",
            table(("command", ""), rows),
            "Each takes `-h` or `--help`.",
            *([f"`bench` itself takes:\n\n{_options(whole)}"] if _options(whole) else []),
            "## Exit codes",
            table(("code", "meaning"), sorted(codes, key=lambda code: int(code[0]))),
            *(_section(name, command) for name, command in commands.items()),
        ]
    )


def _commands(whole: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    groups = [action for action in whole._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield whole.prog, whole
    for group in groups:
        for command in group.choices.values():
            yield from _commands(command)


def _section(name: str, command: argparse.ArgumentParser) -> str:
    required = [action for action in command._actions if action.required or not action.option_strings]
    usage = " ".join([name, *(_spelling(action) for action in required), "[options]"])
    return f"## {name}\n\n{_sentence(command)}\n\n```\n{usage}\n```\n\n{_options(command)}"


def _sentence(command: argparse.ArgumentParser) -> str:
    text = command.description or ""
    return _plain(f"{text[:1].upper()}{text[1:]}.")


def _options(command: argparse.ArgumentParser) -> str:
    rows = [
        (f"`{_spelling(action)}`", _default(action), _plain((action.help or "") % {**vars(action), "prog": "bench"}))
        for action in command._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    return table(("option", "default", "meaning"), rows) if rows else ""


def _spelling(action: argparse.Action) -> str:
    """As a usage line has it: ``--seed S [S ...]``."""
    choices = "|".join(map(str, action.choices or ()))
    given = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
    value = str(given or choices or action.dest.upper()) if action.nargs != 0 else ""
    value = {"+": f"{value} [{value} ...]", "*": f"[{value} ...]", "?": f"[{value}]"}.get(str(action.nargs), value)
    return " ".join(filter(None, [", ".join(action.option_strings), value]))


def _default(action: argparse.Action) -> str:
    if action.required:
        return "(required)" if action.option_strings else ""
    told = "; default: " in (action.help or "")  # of an option that a command has without bench.toml's default
    if action.option_strings and action.default is None and DEFAULTS.get(action.dest) and not told:
        return f"{_value(DEFAULTS[action.dest])} *bench.toml*"
    none = action.default is None or action.default is False or action.default == argparse.SUPPRESS
    return "" if none else _value(action.default)


def _value(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"`{text}`" if text else ""


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_<])", r"\\\1", text)
