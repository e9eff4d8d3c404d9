"""`compare`: what changed between two stores, and whether anything is worse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import config as configuration
from bench import reports
from bench.config import unknown
from bench.contracts import UserError
from bench.execution.experiments import in_experiment
from bench.plugins.entry_points import check_parameters
from bench.redaction import printable
from bench.reports import changes
from bench.reports.comparison import TOLERANCE
from bench.reports.comparison import compare as compared
from bench.reports.formats import xlsx
from bench.reports.formats.sheets import RENDERERS
from bench.reports.page import Content, Side, of_pair, single, write
from bench.reports.sheets import Sheet
from bench.runtime.progress import note
from bench.store import Manifest, Store


@dataclass(frozen=True)
class Changes:
    """What `compare` found.

    Attributes:
        sheets: its tables, with raw values.
        regressed: something is worse in the second store.
        sentence: all of it in words.
        damaged: files of the stores that could not be read, and so were not compared.
        content: makes what `page` shows.
    """

    sheets: tuple[Sheet, ...]
    regressed: bool
    sentence: str
    damaged: tuple[UserError, ...]
    content: Callable[[], Content] = field(repr=False, compare=False)

    def report(self, format: str = "markdown") -> str:
        """The tables as text.

        Args:
            format: ``markdown``, ``latex`` (a whole document), ``csv`` or ``json``.

        Raises:
            UserError: no such format.
        """
        if format not in RENDERERS:
            raise unknown("format", format, RENDERERS, "report()")
        return RENDERERS[format](self.sheets)

    def workbook(self) -> bytes:
        """The content of an XLSX file."""
        return xlsx.workbook(self.sheets)

    def page(self, folder: Path | str) -> Path:
        """Write all of it as a page that a browser opens from disk: ``bench report --html --compare``.

        It goes down to single images: where both stores kept pictures of one, A's refined map and B's in one frame.

        Args:
            folder: of the page; made where it is not there. A page that is there is replaced, files beside it stay.

        Returns:
            The file to open.

        Raises:
            UserError: something else lies where the page would be, it cannot be written, or a picture is damaged.
        """
        return write(Path(folder), self.content())

    def single_page(self) -> str:
        """The tables and plots of `page` alone, as one file of HTML."""
        return single(self.content())

    def __str__(self) -> str:
        return self.report()


def compare(
    before: Path | str,
    after: Path | str,
    *,
    tolerance: float = TOLERANCE,
    experiment: str | None = None,
    parameters: Sequence[str] = (),
    config: Path | None = None,
) -> Changes:
    """Compare two stores cell by cell and image by image; nothing is computed, nothing is written.

    A cell has regressed where a metric got worse by more than the tolerance and the interval of the mean paired
    difference excludes zero, or where it finished in the first store and failed in the second. Seconds are shown, never
    judged.

    Args:
        before: a folder or bucket that ``bench run`` filled; A in what is told.
        after: the other one, B.
        tolerance: percent points, zero or more.
        experiment: only the cells of this experiment of bench.toml; None for all.
        parameters: ``"prn.size=96"``: as they were given to the run of the experiment.
        config: settings instead of ``./bench.toml``.

    Raises:
        UserError: no such store or experiment, no cell that has finished in both, or cells of one name that differ in
            protocol, limit, test images, version of the metrics or layout.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UserError(f"{tolerance:g} is no tolerance", "--tolerance", "give percent points, zero or more")
    settings = configuration.load(config, parameters)
    check_parameters(settings)
    keep = in_experiment(settings, experiment) if experiment else None
    one, other = (_side(address, settings.defaults.baseline, keep) for address in (before, after))
    damaged = (*one.found.damaged, *other.found.damaged)
    for error in damaged:
        note(f"error: {error}")
    comparison = compared(one.found, other.found, tolerance)
    sheets = changes.sheets(comparison, one.found, other.found, names=(one.name, other.name))
    content = partial(of_pair, comparison, one, other, sheets)
    return Changes(sheets, comparison.regressed, changes.sentence(comparison), damaged, content)


def _side(address: Path | str, baseline: str, keep: Callable[[Manifest], bool] | None) -> Side:
    store = Store(address)
    return Side(printable(str(address)), reports.read(store, baseline, keep), store)
