"""The page of the Python API: `bench`, its contracts and its metrics."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any, get_type_hints, is_typeddict

import bench
import bench.contracts
import bench.metrics
from generator.docstrings import Docstring, Link, anchor, inline, prose, read

PAGE = "python.md"
WIDTH = 100
KEYWORD_ONLY, POSITIONAL_ONLY = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY
SPECIAL = ("__call__", "__len__", "__getitem__")


@dataclass(frozen=True)
class Constant:
    """A name that a module assigns to.

    Attributes:
        code: the assignment, without a value that only the code understands.
        doc: the string below it.
    """

    code: str
    doc: str


def entries() -> dict[str, dict[str, Any]]:
    """Heading -> what stands below it: full name -> class, function or `Constant`."""
    calls = {f"bench.{name}": getattr(bench, name) for name in bench.__all__}
    contracts = {f"bench.contracts.{name}": value for name, value in _defined(bench.contracts).items()}
    places = [
        importlib.import_module(f"bench.metrics.{found.name}") for found in pkgutil.iter_modules(bench.metrics.__path__)
    ]
    known = {name: value for place in places for name, value in _defined(place).items()}
    metrics = {f"bench.metrics.{name}": known[name] for name in bench.metrics.__all__}
    listed = [*calls.values(), *contracts.values()]
    results = {_path(kind): kind for call in calls.values() for kind in _answers(call) if kind not in listed}
    return {
        "The package": calls,
        "What its functions return and raise": results,
        "Contracts": contracts,
        "Metrics": metrics,
    }


def targets() -> dict[str, str]:
    """What a docstring may refer to -> its address. Classes go by their bare name, too."""
    found: dict[str, str] = {}
    for listed in entries().values():
        for name, value in listed.items():
            address = f"{PAGE}{anchor(name)}"
            short = name.rpartition(".")[2]
            found |= {name: address} | ({short: address} if short[0].isupper() else {})
            found |= {} if isinstance(value, Constant) else {_path(value): address}
    return found


def page(link: Link) -> str:
    """The Markdown text."""
    blocks = [
        "# Python API",
        "`import bench` for the commands, `from bench.contracts import ...` for what a plug-in derives from, "
        "`from bench.metrics import ...` for the scores.",
    ]
    contents = []
    for title, listed in entries().items():
        names = ", ".join(f"[`{_short(name)}`]({anchor(name)})" for name in listed)
        contents.append(f"- [{title}]({anchor(title)}): {names}")
    blocks.append("\n".join(contents))
    for title, listed in entries().items():
        blocks += [f"## {title}", *(_entry(name, value, link) for name, value in listed.items())]
    return "\n\n".join(blocks)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _path(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _defined(module: ModuleType) -> dict[str, Any]:
    """The public names of a module's own, in the order of its source."""
    source = inspect.getsource(module)
    found: dict[str, Any] = {}
    body = ast.parse(source).body
    for statement, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            found[statement.name] = getattr(module, statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            doc = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            found[ast.unparse(target)] = Constant(_assignment(statement, source), str(doc))
    return {name: value for name, value in found.items() if name.isidentifier() and not name.startswith("_")}


def _assignment(statement: ast.Assign | ast.AnnAssign, source: str) -> str:
    code = ast.get_source_segment(source, statement) or ""
    on_one_line = " ".join(code.split())
    try:
        ast.literal_eval(statement.value or "")
    except ValueError:
        return on_one_line if ": TypeAlias =" in on_one_line else on_one_line.partition(" = ")[0]
    return code  # as it is formatted: ruff formats the pages' code, too


def _answers(call: Any) -> Iterator[type]:
    """Classes of ours that a function returns, or says that it raises."""
    if isinstance(call, FunctionType):
        raised = [call.__globals__.get(name) for name, _ in read(call).lists.get("Raises", [])]
        for kind in (get_type_hints(call).get("return"), *raised):
            if isinstance(kind, type) and kind.__module__.startswith("bench."):
                yield kind


def _entry(name: str, value: Any, link: Link) -> str:
    def scoped(target: str) -> str:
        return link(f"{name.rpartition('.')[0]}.{target}") or link(target)

    if isinstance(value, Constant):
        body = f"```python\n{value.code}\n```\n\n{prose(inspect.cleandoc(value.doc), scoped)}"
    elif isinstance(value, type):
        body = _class(value, scoped)
    else:
        body = f"```python\n{_signature(_short(name), value)}\n```\n\n{_text(value, scoped)}"
    return f"### `{name}`\n\n{body}".rstrip()


def _class(kind: type, link: Link) -> str:
    doc = read(kind)
    own = "__init__" in vars(kind) and (is_dataclass(kind) or "Args" in doc.lists)
    parents = [parent.__name__ for parent in kind.__bases__ if parent.__name__ not in ("object", "Generic")]
    parents = ["TypedDict"] if is_typeddict(kind) else parents
    head = _signature(kind.__name__, kind) if own else kind.__name__ + (f"({', '.join(parents)})" if parents else "")
    members = {name: getattr(member, "__func__", member) for name, member in vars(kind).items()}
    methods = [
        f"**`{_signature(name, member, inside=True)}`**\n\n{_text(member, link)}".rstrip()
        for name, member in members.items()
        if isinstance(member, FunctionType) and (not name.startswith("_") or name in SPECIAL)
    ]
    # A TypedDict has the texts of its annotations in objects.
    written = {name: getattr(hint, "__forward_arg__", hint) for name, hint in inspect.get_annotations(kind).items()}
    fields = {name: str(hint) for name, hint in written.items() if not name.startswith("_")}
    words = {name: said for parent in reversed(kind.__mro__) for name, said in read(parent).words().items()}
    for name, member in members.items():
        if isinstance(member, property | cached_property) and not name.startswith("_"):
            getter: Any = member.fget if isinstance(member, property) else member.func
            fields[name] = str(inspect.signature(getter).return_annotation)
            words[name] = words.get(name) or " ".join((member.__doc__ or "").split())
    doc.lists["Attributes"] = [(f"{name}: {type_}", words.get(name, "")) for name, type_ in fields.items()]
    known = [inline(f"`{parent}`", link) for parent in parents if link(parent)]
    derived = f"Has all that {' and '.join(known)} has, and:" if known else ""
    return "\n\n".join(filter(None, [f"```python\nclass {head}\n```", _parts(doc, link, derived), *methods]))


def _text(function: Any, link: Link) -> str:
    """What a function says of itself, and what it refers to another's list for."""
    doc = read(function)
    for path in re.findall(r"those of `([\w.]+)`", doc.body):
        module, _, name = path.rpartition(".")
        taken = inspect.signature(function).parameters.keys() - doc.words().keys()
        for names, words in read(getattr(importlib.import_module(module), name)).lists["Attributes"]:
            if missing := ", ".join(name for name in names.split(", ") if name in taken):
                doc.lists.setdefault("Args", []).append((missing, words))
    return _parts(doc, link)


def _parts(doc: Docstring, link: Link, before_lists: str = "") -> str:
    blocks = [inline(doc.summary, link), prose(doc.body, link), before_lists]
    for section, title in (("Args", "Parameters"), ("Attributes", "Attributes"), ("Raises", "Raises")):
        if section == "Raises" and "Returns" in doc.texts:
            blocks.append(f"**Returns:** {prose(doc.texts['Returns'], link)}")
        if doc.lists.get(section):
            blocks.append(f"**{title}:**")
            blocks.append("\n".join(_item(names, words, link) for names, words in doc.lists[section]))
    if "Example" in doc.texts:
        blocks.append(f"**Example:**\n\n{prose(doc.texts['Example'], link)}")
    return "\n\n".join(filter(None, blocks))


def _item(names: str, words: str, link: Link) -> str:
    if ": " in names:
        shown = f"`{names}`"
    else:
        shown = ", ".join(
            inline(f"`{name}`", link if name[0].isupper() else lambda _: "") for name in names.split(", ")
        )
    return f"- {shown}: {inline(words, link)}" if words else f"- {shown}"


def _signature(name: str, called: Any, *, inside: bool = False) -> str:
    """As it is written, one parameter a line where one line is too long.

    Args:
        inside: it is a method: on one line, without ``self``.
    """
    signature = inspect.signature(called)
    own = [each for each in signature.parameters.values() if not (inside and each.name in ("self", "cls"))]
    kinds = [each.kind for each in own]
    parts = [_parameter(each) for each in own]
    if KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parts.insert(kinds.index(KEYWORD_ONLY), "*")
    if POSITIONAL_ONLY in kinds:
        parts.insert(kinds.count(POSITIONAL_ONLY), "/")
    end = ")"
    if not isinstance(called, type) and signature.return_annotation is not signature.empty:
        end = f") -> {signature.return_annotation}"
    line = f"{name}({', '.join(parts)}{end}"
    if inside or len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + end


def _parameter(parameter: inspect.Parameter) -> str:
    stars = (
        "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    )
    hint = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    # A dataclass has no better word for a default that is made anew each time.
    default = "..." if repr(parameter.default) == "<factory>" else repr(parameter.default)
    return f"{stars}{parameter.name}{hint}" + ("" if parameter.default is parameter.empty else f" = {default}")
