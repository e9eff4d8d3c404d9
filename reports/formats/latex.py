r"""Tables in LaTeX, written for ``\usepackage{booktabs}`` and ``\usepackage{graphicx}``."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from bench.reports.columns import NOT_AVAILABLE, QUALITY, Column
from bench.reports.formats import layout
from bench.reports.tables import Block, Group, Report, Section
from bench.reports.verdict import visible

ROWS_PER_TABLE = 40
"""More do not fit a page."""

_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"$\sim$",  # the other one hangs so high that it reads as an accent
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "-": "{-}",  # two in a row would become a dash
    "`": "'",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"\S{}",
}
_ARROWS = {"up": r"$\uparrow$\,", "down": r"$\downarrow$\,", "none": ""}

# A plain texlive-latex-base has no booktabs: its rules are then drawn with \hline.
_PREAMBLE = r"""\documentclass{article}
\usepackage[margin=15mm]{geometry}
\usepackage{graphicx}
\IfFileExists{booktabs.sty}{\usepackage{booktabs}}{%
  \newcommand{\addlinespace}{\noalign{\vskip 2pt}}%
  \newcommand{\midrule}{\addlinespace\hline\addlinespace}%
  \newcommand{\toprule}{\midrule}\newcommand{\bottomrule}{\midrule}}
\begin{document}
"""


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands, in any font encoding; a character outside ASCII loses its accents or
    becomes a question mark."""
    return "".join(_character(character) for character in " ".join(text.split()))


def render(report: Report) -> str:
    r"""A fragment for ``\input``: for each dataset a table of each kind with its legend."""
    return "\n".join(_group(group, report) for group in report.groups)


def document(report: Report, more: Sequence[str] = ()) -> str:
    """A whole document that pdflatex compiles, with the tables of `render`, then more such fragments."""
    return whole((*(_group(group, report) for group in report.groups), *more))


def whole(parts: Iterable[str]) -> str:
    """A document of fragments, each on a new page."""
    pages = "\\clearpage\n".join(parts)
    return f"{_PREAMBLE}{pages}\\end{{document}}\n"


class _Latex:
    def plain(self, text: str) -> str:
        return escape(text)

    def bold(self, text: str) -> str:
        return rf"\textbf{{{text}}}"

    def name(self, refiner: str, *, oracle: bool, contaminated: bool, marks: Sequence[int]) -> str:
        daggers = (r"\,$\dagger$" if oracle else "") + (r"\,$\ddagger$" if contaminated else "")
        return escape(refiner) + daggers + (f"$^{{{','.join(map(str, marks))}}}$" if marks else "")

    def gain(self, arrow: layout.Arrow, size: str, interval: tuple[str, str] | None, *, few: bool) -> str:
        ends = rf"{interval[0]},\,{interval[1]}" if interval else rf"\mbox{{{NOT_AVAILABLE}}}"
        mark = r"\sim" if few else ""
        return rf"{_ARROWS[arrow]}{size} {{\scriptsize${mark}[{ends}]$}}"


_STYLE = _Latex()


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isascii():
        return character if character.isprintable() else ""
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(_SPECIAL.get(part, part) for part in plain) or "?"


def _group(group: Group, report: Report) -> str:
    sections = report.sections(group)
    return "\n".join(table for section in sections for table in _tables(group, section, report.baseline))


def _tables(group: Group, section: Section, baseline: str) -> list[str]:
    """One table float, or several where the group has more rows than a page."""
    chunks = list(_chunks(group.blocks))
    names = layout.names(group, _STYLE)
    tables = []
    for index, blocks in enumerate(chunks):
        part = f" ({index + 1} of {len(chunks)})" if len(chunks) > 1 else ""
        caption = f"{section.title} on {group.title}{part}: {group.caption}."
        tabular = _tabular(blocks, section.columns, names, baseline)
        tables.append(floating(caption, tabular, _notes(group, blocks, section.legend)))
    return tables


def _chunks(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    chunk: list[Block] = []
    for block in blocks:
        if chunk and sum(len(other.rows) + 1 for other in (*chunk, block)) > ROWS_PER_TABLE:
            yield chunk
            chunk = []
        chunk.append(block)
    yield chunk


def floating(caption: str, tabular: str, notes: str) -> str:
    """A table float.

    Args:
        caption: plain text.
        tabular: LaTeX.
        notes: LaTeX, for the small print below the table.
    """
    return rf"""\begin{{table}}[tp]
\centering
\caption{{{escape(caption)}}}
\smallskip
\small
{fitting(tabular)}
\par\smallskip
\begin{{minipage}}{{\linewidth}}\footnotesize\raggedright
{notes}
\end{{minipage}}
\end{{table}}
"""


def fitting(tabular: str) -> str:
    """A narrow table keeps its size, a wide one shrinks to the line."""
    # \width is the natural width.
    return f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{tabular}}}"


def _tabular(
    blocks: Sequence[Block], columns: Sequence[Column], names: dict[tuple[str, str], str], baseline: str
) -> str:
    headings = layout.headings(columns)
    width = len(headings)
    lines = [rf"\begin{{tabular}}{{@{{}}l{'r' * width}@{{}}}}", r"\toprule"]
    lines.append(" & ".join(["Refiner", *map(escape, headings)]) + r" \\")
    for block in blocks:
        lines += [r"\midrule", rf"\multicolumn{{{width + 1}}}{{@{{}}l@{{}}}}{{\textit{{{escape(block.base)}}}}} \\"]
        for before, row in zip((None, *block.rows), block.rows, strict=False):
            if row.oracle and before is not None and not before.oracle:
                lines.append(r"\addlinespace")
            if row.status == "done":
                cells = " & ".join(layout.numbers(row, block, columns, baseline, _STYLE))
            else:
                problem = escape(row.problem if QUALITY[0] in columns else row.status)
                cells = rf"\multicolumn{{{width}}}{{p{{9cm}}@{{}}}}{{\raggedright {problem}\strut}}"
            lines.append(rf"{names[row.base, row.refiner]} & {cells} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _notes(group: Group, blocks: Sequence[Block], legend: Sequence[str]) -> str:
    notes = [rf"$^{{{number}}}$ {escape(note)}." for number, note in enumerate(group.notes, start=1)]
    notes += [escape(f"{block.base}: {seen}") for block in blocks if (seen := visible(block))]
    return "\\par\n".join([*notes, escape(" ".join(legend))])
