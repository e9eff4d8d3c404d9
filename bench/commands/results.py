"""The finished cells of a run or of a store as Python has them: a data frame, a report, a table in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from bench import config as configuration
from bench import reports
from bench.config import unknown
from bench.contracts import UserError
from bench.execution.experiments import in_experiment, refiners_of
from bench.plugins.entry_points import check_parameters
from bench.reports import bias, figures, image_table, kept_images, published_sheet, ranks, significance, strata
from bench.reports.figures import Drawing
from bench.reports.formats import json, latex, markdown, paper, terminal, xlsx
from bench.reports.formats.sheets import as_markdown, fragment
from bench.reports.kept_images import ShownImages
from bench.reports.page import Content, of_store, single, write
from bench.reports.placing import called
from bench.reports.published import PaperTable
from bench.reports.published import load as read_published
from bench.reports.ranks import Ranking
from bench.reports.sheets import Sheet
from bench.runtime.progress import note
from bench.store import Manifest, Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True)
class Results:
    """Cells of a store, read when they are first asked for; a notebook shows their tables.

    Attributes:
        store: the folder that they are in.
        baseline: the refiner that stands for the base itself; gains are over it.
        keep: which cells; None for all. Finished cells of the baseline that they are compared with come along.
        table_of_images: see `bench.reports.image_table.read_images`; its column ``group`` is resampled
            whole for intervals and tests, the others split `strata`.
        otherwise: which cells where ``keep`` lets none through.
        table_of_paper: the one that the cells are of.
    """

    store: Store
    baseline: str = "identity"
    keep: Callable[[Manifest], bool] | None = field(default=None, repr=False)
    table_of_images: pd.DataFrame | None = field(default=None, repr=False)
    otherwise: Callable[[Manifest], bool] | None = field(default=None, repr=False)
    table_of_paper: PaperTable | None = field(default=None, repr=False)

    def table(self) -> pd.DataFrame:
        """One row a dataset, base and refiner; the columns are those of ``bench report --csv``.

        Raises:
            UserError: there is no such cell. A damaged file is a line on stderr, and a row says so.
        """
        return reports.table(self._report)

    def records(self) -> pd.DataFrame:
        """One row an image and finished cell: dataset, base, refiner, seed, protocol, limit, key; then its record.

        The record is the image's ``id``, its metrics as fractions, its pixel counts and its costs, see
        `bench.metrics.columns`; those of plugged-in metrics are NaN where a cell was not scored by them, and hold
        arrays where they are curves.

        Raises:
            UserError: as `table`.
        """
        return reports.records(self._found)

    def report(self, format: str = "markdown") -> str:
        """The tables as text; what `published` has follows them, but for CSV, which holds one table.

        Args:
            format: ``markdown``, ``latex`` (a whole document), ``csv`` or ``json``; or ``terminal``: the short tables
                of 80 columns, best first, with the answer under each.

        Raises:
            UserError: no such format; else as `table`.
        """
        if format in reports.BINARY:
            raise UserError("a workbook is no text", f"report({format!r})", "take workbook(), which gives its bytes")
        if format not in reports.FORMATS:
            raise unknown("format", format, reports.FORMATS, "report()")
        more = self.published()
        if more and format == "json":
            return json.render(self._report, more)
        if more and format == "latex":
            return latex.document(self._report, [fragment(more)])
        text = reports.FORMATS[format].render(self._report)
        return f"{text}\n{as_markdown(more)}" if more and format != "csv" else text

    def paper(self, *, siunitx: bool = False, command: str = "") -> str:
        r"""LaTeX to ``\input`` into a paper: one booktabs table for each dataset and base.

        Args:
            siunitx: numbers in columns of that package, aligned at their points.
            command: what made it, for the comment on top; nothing where it is empty.

        Raises:
            UserError: as `table`.
        """
        return paper.render(self._report, siunitx=siunitx, command=command)

    def workbook(self) -> bytes:
        """The content of an XLSX file: a sheet for each kind of table and of `published`, numbers as numbers, a legend.

        Raises:
            UserError: as `table`.
        """
        return xlsx.render(self._report, self.published())

    def published(self) -> list[Sheet]:
        """Of an experiment that is a table of the paper, what that prints beside what was measured; else nothing.

        Raises:
            UserError: as `table`.
        """
        if self.table_of_paper is None:
            return []
        return published_sheet.sheets(self._found, self.table_of_paper, self.baseline)

    def tests(self) -> list[Sheet]:
        """Paired tests of each refiner against its base, corrected for their family: ``bench report --tests``.

        Raises:
            UserError: as `table`.
        """
        return significance.sheets(self._report)

    def ranks(self) -> list[Sheet]:
        """Ranks over bases and datasets, and which refiner beats which: ``bench report --ranks``.

        Raises:
            UserError: there are less than two blocks or three refiners; else as `table`.
        """
        return ranks.sheets(self.ranking)

    @cached_property
    def ranking(self) -> Ranking:
        """What `ranks` shows, as arrays. Raises UserError as `ranks`."""
        return ranks.ranking(self._report)

    def images(
        self, which: str = "worst", *, refiner: str, base: str | None = None, dataset: str | None = None, n: int = 8
    ) -> ShownImages:
        """Images before and after, of those whose pictures ``bench run --keep-maps`` has kept; a notebook shows them.

        Args:
            which: by which of `bench.contracts.KEPT_RULES`.
            refiner, base, dataset: as the tables call them; None for all bases, or datasets.
            n: at most so many.

        Returns:
            The most extreme first, those of several seeds together; each has its arrays.

        Raises:
            UserError: there is no such cell, no such pictures were kept, or one is damaged; else as `table`.
        """
        return kept_images.images(
            self.store, self._found, self.baseline, which, refiner=refiner, base=base, dataset=dataset, n=n
        )

    def strata(self) -> list[Sheet]:
        """Gains by kind of image, and over the base's quality: ``bench report --strata``.

        Raises:
            UserError: no image is in the table of images; else as `table`.
        """
        return strata.sheets(self._report, self.table_of_images)

    def bias(self) -> list[Sheet]:
        """Where the maps are too high or too low, and what each refiner leaves of it: ``bench report --bias``.

        Of the cells that were scored with ``--metric bias``; where one name has others that are newer, they are passed
        over.

        Raises:
            UserError: there is none; else as `table`.
        """

        sheets = bias.sheets(*self._biased) if self._biased else []
        if not sheets:
            raise bias.missing(self.store.address)
        return sheets

    def figures(self, folder: Path) -> list[Path]:
        """Pictures for print, PDF and PNG of each, with their captions in figures.md: ``bench report --figures``.

        What a store has nothing for is a line on stderr, which says what it needs.

        Args:
            folder: where to; made where it is missing. What it holds under the same names is replaced.

        Returns:
            The files.

        Raises:
            UserError: there is nothing to draw, or a file cannot be written; or, once the others are there, a picture
                of the store is damaged; else as `table`.
        """
        return figures.write(self.drawings, folder)

    @cached_property
    def drawings(self) -> list[Drawing]:
        """What `figures` draws. Raises UserError where there is nothing to draw; else as `table`."""
        return figures.Gathering(self.store, self._found, self._report, lambda: self.ranking, self._biased).drawings()

    def page(self, folder: Path) -> Path:
        """Write all of it as a page that a browser opens from disk: ``bench report --html``.

        Args:
            folder: of the page; made where it is not there. A page that is there is replaced, files beside it stay.

        Returns:
            The file to open.

        Raises:
            UserError: something else lies where the page would be, or it cannot be written; else as `table`.
        """
        return write(Path(folder), self._of_page)

    def single_page(self) -> str:
        """The tables and plots of `page` alone, as one file of HTML. Raises UserError as `table`."""
        return single(self._of_page)

    @property
    def _of_page(self) -> Content:
        views = {
            "Published beside measured": self.published,
            "Tests": self.tests,
            "Ranks": self.ranks,
            "Kinds of images": self.strata,
            "Bias": self.bias,
        }
        found: dict[str, Sequence[Sheet] | str] = {}
        for name, view in views.items():
            try:
                found[name] = view()
            except UserError as error:
                found[name] = str(error)  # the page goes without it, and says why
        shown = {name: sheets for name, sheets in found.items() if sheets}
        title = self.store.address.rstrip("/").rpartition("/")[2]
        return of_store(title, self._report, self._found, shown, self.store)

    def shown(self, *, width: int = terminal.WIDTH, wide: bool = False, legend: bool = False) -> Text:
        """What ``bench run`` and ``bench report`` print, with the bold and the colours of a terminal.

        Args:
            width: columns of the screen, 80 at least.
            wide: all columns, as Markdown, however wide.
            legend: explain the columns at the end.

        Raises:
            UserError: as `table`.
        """
        if wide:
            tables = Text(markdown.render(self._report, legend=legend).rstrip("\n"))
        else:
            tables = terminal.text(self._report, width=width, explained=legend)
        more = as_markdown(self.published()).rstrip("\n")
        return tables.append(f"\n\n{more}") if more else tables

    def __str__(self) -> str:
        """The short tables: ``report("terminal")``."""
        return self.report("terminal")

    def _repr_markdown_(self) -> str:
        return self.report()

    @property
    def finished(self) -> list[Manifest]:
        """The manifests of the finished cells that the tables show. Raises UserError as `table`."""
        return [cell.manifest for cell in self._found.cells if cell.manifest.status == "done"]

    @property
    def damaged(self) -> tuple[UserError, ...]:
        """The files of the store that could not be read; the tables show the rest. Raises UserError as `table`."""
        return self._found.damaged

    @cached_property
    def _report(self) -> reports.Report:
        return self._assembled(self._found)

    @cached_property
    def _biased(self) -> tuple[reports.Found, reports.Report] | None:
        """The cells that have the bias of their maps, and their tables."""

        def keep(manifest: Manifest) -> bool:
            return bias.measured(manifest) and (self.keep is None or self.keep(manifest))

        manifests, _ = self.store.readable()
        # No refiner is called "": of the base's own cells only those come along that have the bias, too.
        found = reports.read(self.store, "", keep) if any(map(keep, manifests)) else None
        return (found, self._assembled(found)) if found else None

    def _assembled(self, found: reports.Found) -> reports.Report:
        return reports.assemble(found, self.baseline, image_table.groups_of(self.table_of_images))

    @cached_property
    def _found(self) -> reports.Found:
        found = reports.read(self.store, self.baseline, self.keep, self.otherwise)
        if self.keep and self.otherwise and not any(self.keep(cell.manifest) for cell in found.cells):
            note("no cell is of the experiment as bench.toml has it: shown are its refiners, run with other options")
        for error in found.damaged:
            note(f"error: {error}")
        return found


def load(
    store: Path | str | None = None,
    *,
    experiment: str | None = None,
    images: Path | None = None,
    parameters: Sequence[str] = (),
    config: Path | None = None,
) -> Results:
    """The results in a store; nothing is computed.

    Args:
        store: a folder or bucket that ``bench run`` filled; None takes bench.toml's.
        experiment: only the cells of this experiment of bench.toml; None for all. Of a table of the paper (``table1``
            to ``table7``), where there is none of them, its refiners' cells on other data, bases, sizes or limits.
        images: a CSV with a line an image, see `bench.reports.image_table`.
        parameters: ``"prn.size=96"``: as they were given to the run of the experiment.
        config: settings instead of ``./bench.toml``.

    Raises:
        UserError: no such store or experiment.
    """
    settings = configuration.load(config, parameters)
    check_parameters(settings)
    found = Store(store or settings.defaults.store)
    found.open_for_reading()
    table = image_table.read_images(images) if images else None
    results = Results(store=found, baseline=settings.defaults.baseline, table_of_images=table)
    if experiment:
        results.keep = in_experiment(settings, experiment)
        results.table_of_paper = read_published().of_experiment(experiment)
    if experiment and results.table_of_paper:
        names, alike = refiners_of(settings, experiment), read_published().alike
        results.otherwise = lambda cell: any(alike(name, called(cell, "refiner")) for name in names)
    return results
