"""Google-style docstrings as Markdown: their sections, and their references as links."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Example")

Link = Callable[[str], str]
"""The target of a single-backquoted reference -> its address, "" where no page has it."""


@dataclass
class Docstring:
    """One object's docstring.

    Attributes:
        summary: the first line.
        body: what stands below it and in no section, as written.
        lists: of ``Args``, ``Attributes`` and ``Raises``: pairs of names (``"a, b"``) and words.
        texts: of ``Returns`` and ``Example``.
    """

    summary: str = ""
    body: str = ""
    lists: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def words(self) -> dict[str, str]:
        """Parameter or attribute -> what is said of it."""
        pairs = [pair for section in ("Args", "Attributes") for pair in self.lists.get(section, [])]
        return {name: words for names, words in pairs for name in names.split(", ")}


def read(documented: Any) -> Docstring:
    """The docstring of a class or function itself; empty where it has none of its own."""
    written = inspect.cleandoc(documented.__doc__ or "")
    if isinstance(documented, type) and written.startswith(f"{documented.__name__}("):
        written = ""  # what dataclass makes up is the signature
    summary, _, rest = written.partition("\n")
    headings = "|".join(SECTIONS)
    body, *parts = re.split(rf"^({headings}):\n", rest, flags=re.MULTILINE)
    found = Docstring(summary, body.strip("\n"))
    for name, inside in zip(parts[::2], parts[1::2], strict=True):
        indented, *behind = re.split(r"^(?=\S)", inside, maxsplit=1, flags=re.MULTILINE)
        found.body = "\n\n".join(filter(None, [found.body, *behind]))
        text = inspect.cleandoc(f"\n{indented}")
        if name in ("Returns", "Example"):
            found.texts[name] = text
        else:
            found.lists[name] = _pairs(text, f"{name} of {documented.__qualname__}")
    return found


def _pairs(text: str, where: str) -> list[tuple[str, str]]:
    """``name, name: words``, whose further lines are indented."""
    entries = re.split(r"\n(?=\S)", text)
    pairs = [re.fullmatch(r"([\w, ]+): (.*)", entry, re.DOTALL) for entry in entries]
    if None in pairs:
        raise ValueError(f"{where}: not all of the form 'name: words':\n{text}")
    return [(pair[1], " ".join(pair[2].split())) for pair in pairs if pair]


def inline(text: str, link: Link) -> str:
    """Double backquotes as code; single ones as links where there is a page, else as code."""
    pieces = re.split(r"``(.+?)``|`([^`]+)`", text, flags=re.DOTALL)
    written = []
    for number in range(0, len(pieces), 3):
        written.append(pieces[number].replace("<", "&lt;"))
        if number + 2 < len(pieces):
            code, target = pieces[number + 1], pieces[number + 2]
            address = link(target) if target else ""
            span = f"`{' '.join((code or target).split())}`"
            written.append(f"[{span}]({address})" if address else span)
    return "".join(written)


def prose(text: str, link: Link, *, examples: bool = True) -> str:
    """Paragraphs, lists and literal blocks.

    Args:
        examples: keep those that begin with ``>>>``.
    """
    blocks: list[str] = []
    literal = False
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if block.lstrip().startswith(">>>"):
            blocks += [f"```python\n{block}\n```"] if examples else []
        elif literal and block.startswith(" "):
            blocks.append(f"```\n{dedent(block)}\n```")
        else:
            literal = block.endswith("::")
            blocks.append(inline(block.removesuffix(":") if literal else block, link))
    return "\n\n".join(filter(None, blocks))


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table without the columns that are empty throughout."""
    used = [column for column in range(len(headings)) if any(row[column] for row in rows)]
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(_cell(line[column]) for column in used)} |" for line in lines)


def anchor(heading: str) -> str:
    """Where GitHub puts a heading: ``Base `unet` `` is ``#base-unet``."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
