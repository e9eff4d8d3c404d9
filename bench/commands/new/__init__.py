"""``bench new``: an installable package with a plug-in that works, to be changed into one's own."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import tempfile
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from string import Template

from bench.config import Kind
from bench.contracts import UserError
from bench.runtime.files import OUT

TEMPLATES = files("bench.commands.new") / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
TESTS = "tests"


def new(kind: Kind, name: str, out: Path = Path()) -> Path:
    """Write the package ``out/name``, whole or not at all.

    Args:
        kind: what plugs in.
        name: what ``--refiner`` and the like will call it; with ``_`` for ``-`` it is the module's name, too.
        out: a folder, made where it is missing.

    Returns:
        The package's folder, with ``pyproject.toml`` (the entry point), ``README.md``, the module and its test.

    Raises:
        UserError: the name cannot be one, or is taken by a plug-in or a module; the folder exists, or cannot be made.
    """
    module = _module(kind, name)
    target = out / name
    if target.exists():
        raise UserError("it is there already", target, "name another one, or another place with --out")
    names = {"kind": kind, "name": name, "module": module, "Class": _class_name(kind, name)}
    written = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{kind}.py": f"{module}/__init__.py",
        f"test_{kind}.py": f"{TESTS}/test_{module}.py",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=out))
    except OSError as error:
        fix = "name a writable folder with --out"
        raise UserError(f"cannot make the folder, {error.strerror}", target, fix) from None
    try:
        for template, path in written.items():
            file = temporary / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(_template(template)).substitute(names), encoding="utf-8")
        (temporary / name / module / "py.typed").touch()
        (temporary / name).rename(target)
    except OSError as error:
        raise UserError(f"cannot write, {error.strerror}", target, OUT) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _module(kind: Kind, name: str) -> str:
    """The module's name. Raises UserError where it or the plug-in's own name is none, or taken."""
    where = f"bench new {kind}"
    module = name.replace("-", "_")
    if not NAME.fullmatch(name) or keyword.iskeyword(module):
        fix = "take small letters and digits, begun by a letter, with '-' between words: edge-median"
        raise UserError(f"{name!r} cannot be a name", where, fix)
    if name in entry_points(group=f"bench.{kind}s").names:
        raise UserError(
            f"there is a {kind} {name!r} already", where, f"see 'bench list {kind}s', and take another name"
        )
    spec = importlib.util.find_spec(module)
    # A folder of that name here is no module: it has no origin.
    if module == TESTS or (spec is not None and spec.origin is not None):
        raise UserError(f"there is a Python module {module!r} already", where, f"take another name, e.g. my-{name}")
    return module


def _class_name(kind: Kind, name: str) -> str:
    """``edge-median`` -> ``EdgeMedian``; where the template uses that word, ``EdgeMedianRefiner``."""
    found = "".join(word.capitalize() for word in name.split("-"))
    taken = keyword.iskeyword(found) or re.search(
        rf"\b{found}\b", _template(f"{kind}.py") + _template(f"test_{kind}.py")
    )
    return found + kind.capitalize() if taken else found


def _template(name: str) -> str:
    return (TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")
