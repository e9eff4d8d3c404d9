"""The folder: one page of HTML, its scripts and style, data that it loads when they are asked for, pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.contracts import UserError
from bench.reports.page import texts
from bench.reports.page.content import Content, digest
from bench.reports.page.script import chunk
from bench.runtime.environment import DISTRIBUTION, version_of
from bench.runtime.files import OUT, building

HOME = "index.html"
DATA, PICTURES = "data", "pictures"
PLOTLY = "plotly.min.js"
STYLE = "page.css"
SCRIPTS = ("core.js", "table.js", "plots.js", "viewer.js", "images.js", "main.js")
"""In the order that they are loaded in."""

_HERE = Path(__file__).parent
_OWN = f'<meta name="generator" content="{DISTRIBUTION}'
_COLOURS = 33
"""Steps of the colour map."""


def write(folder: Path, content: Content) -> Path:
    """Write the page, whole or not at all; one that is there is replaced, other files beside it stay.

    The same content gives the same bytes.

    Returns:
        The file to open.

    Raises:
        UserError: something else lies where the page would be, it cannot be written, or a picture is damaged.
    """
    _check(folder)
    try:
        fresh = not folder.is_dir() or not any(folder.iterdir())
        with building(folder if fresh else folder / "page.new") as made:
            _fill(made, content)
        if not fresh:
            _move(folder / "page.new", folder)
    except OSError as error:
        raise UserError(f"cannot write, {error.strerror or error}", folder, OUT) from None
    return folder / HOME


def single(content: Content) -> str:
    """The tables and the plots alone, as one file of HTML."""
    scripts = [_plotly(), *(_static(name) for name in SCRIPTS), _first(content), _texts(content)]
    # A script ends where its text says so, even in a string; the data come after core.js, and main.js looks at them.
    scripts.append(scripts.pop(len(SCRIPTS)))
    return _html(content, [Markup(script.replace("</script", "<\\/script")) for script in scripts])


def _check(folder: Path) -> None:
    home = folder / HOME
    if home.is_file() and _OWN in home.read_text("utf-8", errors="replace")[:2000]:
        return
    for name in (HOME, DATA, PICTURES):
        if (folder / name).exists():
            raise UserError("the page would go over a file that is not its own", folder / name, "name another --out")


def _fill(folder: Path, content: Content) -> None:
    (folder / DATA).mkdir()
    files = _Folder(folder)
    for entry in content.entries:
        if entry.behind is not None:
            files.say(f"row-{entry.id}", entry.behind(files))
    (folder / DATA / "first.js").write_text(_first(content), "ascii")
    (folder / DATA / "texts.js").write_text(_texts(content), "ascii")
    for name in (*SCRIPTS, STYLE):
        (folder / name).write_text(_static(name), "utf-8")
    (folder / PLOTLY).write_text(_plotly(), "utf-8")
    (folder / HOME).write_text(_html(content), "utf-8")


@dataclass(frozen=True)
class _Folder:
    """The `bench.reports.page.content.Files` of a page that is being written."""

    path: Path
    _made: set[str] = field(default_factory=set)

    def picture(self, name: str, make: Callable[[], bytes]) -> None:
        if name not in self._made:
            self._made.add(name)
            target = self.path / PICTURES / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(make())

    def shared(self, kind: str, data: Any) -> str:
        name = f"{kind}-{digest(json.dumps(data).encode())}"
        self.say(name, data)
        return name

    def say(self, name: str, data: Any) -> None:
        (self.path / DATA / f"{name}.js").write_text(chunk(name, data), "ascii")


def _first(content: Content) -> str:
    """The chunks that the page starts with."""
    return chunk("words", asdict(content.words)) + chunk("rows", [entry.facts for entry in content.entries])


def _texts(content: Content) -> str:
    beside = [sheet for entry in content.sheets.values() if not isinstance(entry, str) for sheet in entry]
    sheets = {sheet.key: texts.of_sheet(sheet) for sheet in (content.differing, *beside) if sheet is not None}
    return chunk("texts", {"blocks": content.blocks, "sheets": sheets})


def _html(content: Content, inline: Sequence[Markup] = ()) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template(HOME).render(
        page=content,
        program=f"{DISTRIBUTION} {version_of(DISTRIBUTION)}".strip(),
        datasets=list(dict.fromkeys(entry.dataset for entry in content.entries)),
        bases=list(dict.fromkeys(entry.base for entry in content.entries)),
        verdicts=list(dict.fromkeys(filter(None, (entry.facts.get("verdict") for entry in content.entries)))),
        colours=_colours(),
        style=STYLE,
        scripts=SCRIPTS,
        data=DATA,
        css=Markup(_static(STYLE)),
        inline=inline,
    )


def _breakable(name: str) -> Markup:
    """A name that has no blanks goes on in the next line after one of its marks."""
    return Markup("<wbr>").join(re.findall(r"[^_,=/\[\]]*(?:[_,=/\[\]]+|$)", name))


def _colours() -> dict[str, str]:
    """For each channel the values of viridis from 0 to 1."""
    from matplotlib import colormaps

    steps = [colormaps["viridis"](step / (_COLOURS - 1)) for step in range(_COLOURS)]
    return {name: " ".join(f"{step[place]:.3f}" for step in steps) for place, name in enumerate("RGB")}


def _static(name: str) -> str:
    return (_HERE / "static" / name).read_text("utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _move(made: Path, folder: Path) -> None:
    """The files of a new page to where the old one's are; the page itself last, then what it no longer names goes."""
    files = sorted((path for path in made.rglob("*") if path.is_file()), key=lambda path: path.name == HOME)
    kept = {path.relative_to(made) for path in files}
    for path in files:
        target = folder / path.relative_to(made)
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
    for path in [*(folder / DATA).glob("*.js"), *(folder / PICTURES).glob("*")]:
        if path.relative_to(folder) not in kept and re.fullmatch(r"(\w+-)?[0-9a-f]{16,}\.(js|png|webp)", path.name):
            path.unlink()
    for path in (made / DATA, made / PICTURES, made):
        with suppress(FileNotFoundError):
            path.rmdir()
