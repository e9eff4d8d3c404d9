"""The folder: one page of HTML, its scripts and style, data that it loads when they are asked for, pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.contracts import UserError
from bench.reports.formats.flat import KEYS
from bench.reports.page import origin, tables, texts, values
from bench.reports.page.lines import Line, digest, lines
from bench.reports.page.pictures import Put, pictures
from bench.reports.page.script import chunk
from bench.reports.reading import Found
from bench.reports.sheets import Sheet
from bench.reports.tables import Report
from bench.reports.verdict import verdict
from bench.runtime.environment import DISTRIBUTION, version_of
from bench.runtime.files import OUT, building
from bench.store import Store

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

Sheets = Mapping[str, Sequence[Sheet] | str]
"""Heading -> what stands under it, or why there is nothing."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a page is made of.

    Attributes:
        title: its heading.
        report: the tables.
        found: what they were assembled of.
        sheets: what is said beside them.
        store: has the pictures that a run kept.
    """

    title: str
    report: Report
    found: Found
    sheets: Sheets
    store: Store


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
    found = lines(content.report, content.found)
    scripts = [_plotly(), *(_static(name) for name in SCRIPTS), *_first(content, found), _texts(content, found)]
    # A script ends where its text says so, even in a string; core.js comes before the data, main.js looks at them last.
    scripts.append(scripts.pop(len(SCRIPTS)))
    return _html(content, found, [Markup(script.replace("</script", "<\\/script")) for script in scripts])


def _check(folder: Path) -> None:
    home = folder / HOME
    if home.is_file() and _OWN in home.read_text("utf-8", errors="replace")[:2000]:
        return
    for name in (HOME, DATA, PICTURES):
        if (folder / name).exists():
            raise UserError("the page would go over a file that is not its own", folder / name, "name another --out")


def _fill(folder: Path, content: Content) -> None:
    found = lines(content.report, content.found)
    (folder / DATA).mkdir()
    made: set[str] = set()

    def put(name: str, make: Callable[[], bytes]) -> None:
        if name not in made:
            made.add(name)
            target = folder / PICTURES / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(make())

    def say(name: str, script: str) -> None:
        (folder / DATA / f"{name}.js").write_text(script, "ascii")

    for line in found:
        if line.row.status == "done":
            _say_row(line, content.store, put, say)
    say("first", "".join(_first(content, found)))
    say("texts", _texts(content, found))
    for name in (*SCRIPTS, STYLE):
        (folder / name).write_text(_static(name), "utf-8")
    (folder / PLOTLY).write_text(_plotly(), "utf-8")
    (folder / HOME).write_text(_html(content, found), "utf-8")


def _say_row(
    line: Line,
    store: Store,
    put: Put,
    say: Callable[[str, str], None],
) -> None:
    """The chunks of one row; those of ids and values have names of their content, which rows share."""

    def shared(kind: str, data: Any) -> str:
        name = f"{kind}-{digest(json.dumps(data).encode())}"
        say(name, chunk(name, data))
        return name

    order = values.images(line)
    paired = values.paired_seeds(line)
    own = {
        "measures": [values.described(facts) for facts in values.measures(line.row)],
        "images": shared("images", order),
        "after": shared("values", values.values(line.row, paired or line.row.seeds, order)),
        "before": shared("values", values.values(line.baseline, paired, order)) if paired and line.baseline else None,
        "notes": line.row.notes,
        "seeds": paired or line.row.seeds,
        "pictures": pictures(line, store, put),
        "command": origin.command(line.finished),
        "manifests": origin.manifests(line.finished),
    }
    say(f"row-{line.id}", chunk(f"row-{line.id}", own))


def _first(content: Content, found: Sequence[Line]) -> list[str]:
    """The chunk that the page starts with."""
    return [chunk("rows", tables.facts(found))]


def _texts(content: Content, found: Sequence[Line]) -> str:
    sheets = {
        sheet.key: texts.of_sheet(sheet)
        for entry in content.sheets.values()
        if not isinstance(entry, str)
        for sheet in entry
    }
    return chunk("texts", {"blocks": texts.of_blocks(content.report, found), "sheets": sheets})


def _html(content: Content, found: Sequence[Line], inline: Sequence[Markup] = ()) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    report = content.report
    headings = tables.headings(report)
    called = tables.names(found)
    rows = [(line, called[line.id], tables.shown(line, report) if line.row.status == "done" else []) for line in found]
    verdicts = {
        group.title: [
            (block.base, verdict(block, report.baseline, {row.refiner: row.refiner for row in block.rows}))
            for block in group.blocks
        ]
        for group in report.groups
    }
    return environment.get_template(HOME).render(
        title=content.title,
        program=f"{DISTRIBUTION} {version_of(DISTRIBUTION)}".strip(),
        report=report,
        sections=[(KEYS[section.title], section) for section in report.sections()],
        headings=headings,
        rows=rows,
        verdicts=verdicts,
        datasets=list(dict.fromkeys(line.group.title for line in found)),
        bases=list(dict.fromkeys(line.block.base for line in found)),
        sheets=content.sheets,
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
