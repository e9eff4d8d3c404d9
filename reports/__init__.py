"""Reports: they read a store and render its cells; they never run one.

>>> from bench.store import Store
>>> report = build(Store("runs/demo"))  # doctest: +SKIP
>>> print(FORMATS["markdown"].render(report))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from bench.reports.formats import csv, json, latex, markdown, terminal, xlsx
from bench.reports.frames import records, table
from bench.reports.reading import Found, read
from bench.reports.tables import Report, assemble
from bench.store import Manifest, Store

__all__ = ["BINARY", "FORMATS", "Format", "Found", "Report", "assemble", "build", "read", "records", "table"]


Content = TypeVar("Content", str, bytes)


class Format(NamedTuple, Generic[Content]):
    """How a report is written to a file.

    Attributes:
        suffix: of the file, with its dot.
        render: the whole file: its text, or its bytes where it is no text.
    """

    suffix: str
    render: Callable[[Report], Content]


FORMATS = {
    "terminal": Format(".txt", terminal.render),
    "markdown": Format(".md", markdown.render),
    "latex": Format(".tex", latex.document),
    "csv": Format(".csv", csv.render),
    "json": Format(".json", json.render),
}
"""Those of text, by the name of the command line's option."""

BINARY = {"xlsx": Format(".xlsx", xlsx.render)}
"""Those that are for files alone."""


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
