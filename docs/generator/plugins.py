"""The page of the built-in plug-ins."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from bench.config import KINDS, Kind
from bench.contracts import Costed, Refiner, SearchSpace, Span
from bench.metrics.columns import METRICS, OBJECTIVES
from bench.plugins.catalogue import cost, searched
from bench.plugins.entry_points import Entry, defaults_of, entries, foreign, hints_of, search_space
from generator.docstrings import Link, anchor, inline, prose, read, table

PAGE = "plugins.md"
REQUIRED = inspect.Parameter.empty
EACH = object()
"""The default of a shared parameter that every base sets for itself."""

ABOUT: dict[Kind, str] = {
    "dataset": "Each has a folder below the data root: see `[datasets]` of `bench.toml`.",
    "base": "What several bases take alike stands once, [below](#shared-parameters-of-bases).",
    "refiner": "`bench tune`, or the parameters `tune=TRIALS` and `objective=METRIC`, search what the column "
    "*searched* names, on a logarithmic scale where it says (log).",
    "metric": "Scored always. An *objective* is what a tuning may go by.",
}


class Plugins:
    """What this package registers.

    Attributes:
        entries: kind -> name -> the plug-in, those of other packages left out.
        shared: classes whose docstring describes parameters of several bases -> the names of these bases.
    """

    def __init__(self) -> None:
        self.entries = {kind: entries(kind, without=foreign(kind)) for kind in KINDS}
        for entry in (entry for listed in self.entries.values() for entry in listed.values()):
            if entry.factory is None:
                raise RuntimeError(f"{entry.kind} {entry.name} is {entry.problem}")
        bases = self.entries["base"]
        own = {entry.factory for entry in bases.values()}
        users: dict[type, list[str]] = {}
        for name, entry in bases.items():
            for parent in entry.factory.__mro__:
                if parent not in own and read(parent).words().keys() & defaults_of(entry).keys():
                    users.setdefault(parent, []).append(name)
        # A class and its parent with the same users are one list, headed by the class.
        self.shared = {
            parent: names
            for parent, names in users.items()
            if not any(
                names == others and issubclass(child, parent) and child is not parent for child, others in users.items()
            )
        }

    def targets(self) -> dict[str, str]:
        """What a docstring may refer to -> its address."""
        found = {kind: _heading_of(kind) for kind in self.shared}
        found |= {e.factory: _heading(e) for listed in self.entries.values() for e in listed.values()}
        return {
            name: f"{PAGE}{anchor(heading)}"
            for kind, heading in found.items()
            for name in (kind.__name__, f"{kind.__module__}.{kind.__name__}")
        }

    def page(self, link: Link) -> str:
        """The Markdown text."""
        blocks = [
            "# Built-in plug-ins",
            "A name takes parameters wherever it is used: `prn[size=256,epochs=40]`. "
            "The [command line](cli.md) and the [Python API](python.md) take names alike.",
        ]
        for kind, listed in self.entries.items():
            title = f"{kind.capitalize()}s"
            blocks += [f"## {title}", ABOUT[kind]]
            if kind == "metric":
                blocks.append(_built_in_metrics())
            else:
                about = [
                    (f"[`{e.name}`]({anchor(_heading(e))})", inline(e.summary, link), _extra(e))
                    for e in listed.values()
                ]
                blocks.append(table(("name", "", "extra"), about))
            blocks += [self._section(entry, link) for entry in listed.values()]
            if kind == "base":
                blocks += ["## Shared parameters of bases", *(self._shared_section(one, link) for one in self.shared)]
        return "\n\n".join(blocks)

    def _section(self, entry: Entry, link: Link) -> str:
        factory, doc, defaults = entry.factory, read(entry.factory), defaults_of(entry)
        lists = [one for one in factory.__mro__ if one in self.shared]
        elsewhere = {name: value for one in lists for name, value in self._defaults(one).items()}
        own = {name: value for name, value in defaults.items() if name not in elsewhere or name in doc.words()}
        changed = [f"`{n}={_text(v)}`" for n, v in defaults.items() if n not in own and v != elsewhere[n]]
        blocks = [f"### {_heading(entry)}", inline(doc.summary, link), prose(doc.body, link, examples=False)]
        if entry.kind == "dataset":
            blocks.append(f"Folder: {inline(_words(factory)['root'], link)}")
        if _extra(entry):
            blocks.append(f"Needs `pip install 'refinebench[{factory.extra}]'`.")
        if isinstance(factory, Costed):
            blocks.append(f"Cost at most: {cost(factory.cost)}.")
        if own:
            blocks.append(_parameters(factory, own, search_space(entry), link))
        if lists:
            where = " and ".join(f"[{one.__name__}]({anchor(_heading_of(one))})" for one in lists)
            but = f", with defaults of its own: {', '.join(changed)}." if changed else "."
            blocks.append(f"{'And those of' if own else 'Takes the parameters of'} {where}{but}")
        return "\n\n".join(filter(None, blocks))

    def _defaults(self, one: type) -> dict[str, Any]:
        """The parameters of a list, without those of another list that it builds on."""
        below = {
            name for parent in self.shared if parent is not one and issubclass(one, parent) for name in _words(parent)
        }
        found = inspect.signature(one).parameters.values()
        return {each.name: each.default for each in found if each.name in _words(one).keys() - below}

    def _shared_section(self, one: type, link: Link) -> str:
        doc, bases = read(one), self.entries["base"]
        users = ", ".join(f"[`{name}`]({anchor(_heading(bases[name]))})" for name in self.shared[one])
        required = {name for user in self.shared[one] for name, v in defaults_of(bases[user]).items() if v is REQUIRED}
        defaults = {n: EACH if v is REQUIRED and n not in required else v for n, v in self._defaults(one).items()}
        blocks = [f"### {_heading_of(one)}", inline(doc.summary, link), prose(doc.body, link), f"Taken by {users}."]
        return "\n\n".join(filter(None, [*blocks, _parameters(one, defaults, {}, link)]))


def _built_in_metrics() -> str:
    rows = [(f"`{m.key}`", m.title, m.meaning, m.better or "", "yes" if m.key in OBJECTIVES else "") for m in METRICS]
    return table(("name", "heading", "meaning", "better", "objective"), rows)


def _parameters(factory: type, defaults: dict[str, Any], space: SearchSpace, link: Link) -> str:
    """The table of those with ``defaults``; a type stands as what may be written behind ``key=``."""
    words, hints = _words(factory), hints_of(factory)
    rows = [
        (f"`{n}`", _type(hints[n]), _default(v), _searched(space.get(n)), inline(words.get(n, ""), link))
        for n, v in defaults.items()
    ]
    return table(("parameter", "type", "default", "searched", "meaning"), rows)


def _heading(entry: Entry) -> str:
    return f"{entry.kind.capitalize()} `{entry.name}`"


def _heading_of(shared: type) -> str:
    return f"Parameters of `{shared.__name__}`"


def _extra(entry: Entry) -> str:
    return f"`{entry.factory.extra}`" if getattr(entry.factory, "extra", "") else ""


def _words(factory: type) -> dict[str, str]:
    """Parameter -> its meaning, by the class itself or the nearest parent that says it."""
    return {name: words for parent in reversed(factory.__mro__) for name, words in read(parent).words().items()}


def _type(hint: Any) -> str:
    """An annotation in words."""
    hint = getattr(hint, "__value__", hint)  # of a named type
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(inside[0])
    if origin is tuple:
        each = _type(inside[0])
        return f"list of {f'({each})' if ' or ' in each else each}" + (
            "" if inside[-1] is Ellipsis else f" ({len(inside)})"
        )
    if origin is not None:
        return _either([f"`{one}`" if origin is Literal else _type(one) for one in inside])
    return {str: "text", Path: "path", Refiner: "refiner", type(None): "None"}.get(hint, hint.__name__)


def _default(value: Any) -> str:
    if value is REQUIRED:
        return "(required)"
    return "each its own" if value is EACH else f"`{_text(value)}`"


def _text(value: Any) -> str:
    """As one writes it behind ``key=``."""
    return json.dumps(value).replace(", ", ",") if isinstance(value, bool | list | tuple) else str(value)


def _searched(values: Span | tuple[Any, ...] | None) -> str:
    return searched(values) if isinstance(values, Span) else ", ".join(f"`{_text(value)}`" for value in values or ())


def _either(choices: list[str]) -> str:
    *most, last = choices
    return f"{', '.join(most)} or {last}" if most else last
