"""Reports: they read a store and render its cells; they never run one.

>>> from bench.store import Store
>>> report = build(Store("runs/demo"))  # doctest: +SKIP
>>> print(FORMATS["markdown"].render(report))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bench.reports.formats import csv, latex, markdown, terminal
from bench.reports.frames import records, table
from bench.reports.reading import Found, read
from bench.reports.tables import Report, assemble
from bench.store import Manifest, Store

__all__ = ["FORMATS", "Format", "Found", "Report", "assemble", "build", "read", "records", "table"]


class Format(NamedTuple):
    """How a report is written to a file.

    Attributes:
        suffix: of the file, with its dot.
        render: the whole file's text.
    """

    suffix: str
    render: Callable[[Report], str]


FORMATS = {
    "terminal": Format(".txt", terminal.render),
    "markdown": Format(".md", markdown.render),
    "latex": Format(".tex", latex.document),
    "csv": Format(".csv", csv.render),
}
"""By the name of the command line's option."""


def build(store: Store, *, baseline: str = "identity", keep: Callable[[Manifest], bool] | None = None) -> Report:
    """The tables of a store.

    Args:
        store: a folder of cells.
        baseline: canonical name of the refiner that stands for the base itself; gains are over it.
        keep: which cells to show, e.g. those of one experiment, and the baselines they are compared with;
            None for all.

    Raises:
        UserError: there is no store, nothing in it is kept, or no manifest in it can be read.
    """
    return assemble(read(store, baseline, keep), baseline)
