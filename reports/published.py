"""The numbers that the paper prints, as data: `published.toml`, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from bench.contracts import UserError
from bench.runtime.brackets import pieces
from bench.runtime.reading import read_text
from bench.store import VariantName

FILE = Path(__file__).with_name("published.toml")

Measure = Literal["miou", "mba", "mae", "memory_gb"]
"""What the paper's columns hold: percent, percent, 0 to 1, GB."""

LARGEST: Mapping[Measure, float] = {"miou": 100, "mba": 100, "mae": 1, "memory_gb": 100}


class Number(NamedTuple):
    """A number of the paper.

    Attributes:
        value: as printed.
        gain: that over the base, where the paper prints it.
    """

    value: float
    gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of a table.

    Attributes:
        block, label: its headings; a table may have no blocks.
        dataset, base: names of plug-ins.
        refiner: without what is a default here.
        protocol: a key of `bench.contracts.PROTOCOLS`.
        numbers: by column.
        source: the paper's table.
    """

    block: str
    label: str
    dataset: str
    base: str
    refiner: VariantName
    protocol: str
    numbers: Mapping[Measure, Number]
    source: str


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table, or the part of it that is of one dataset.

    Attributes:
        number: in the paper.
        about: what it shows.
        experiment: its name in bench.toml.
        rows: in the paper's order.
    """

    number: int
    about: str
    experiment: str
    rows: tuple[PaperRow, ...]

    @property
    def columns(self) -> tuple[Measure, ...]:
        """Those that some row has a number in."""
        return tuple(column for column in LARGEST if any(column in row.numbers for row in self.rows))


@dataclass(frozen=True, kw_only=True)
class Published:
    """All of them.

    Attributes:
        tables: by number.
        test_images: dataset -> images of the test split that the numbers are of.
        free: refiner -> its parameters that may differ from a row's; ``*`` is all of them.
    """

    tables: Mapping[int, PaperTable]
    test_images: Mapping[str, int]
    free: Mapping[str, tuple[str, ...]]

    def of_experiment(self, name: str) -> PaperTable | None:
        """The table that an experiment of bench.toml stands for: ``table3``, or ``table3-kvasir``, a part of it."""
        for number, table in self.tables.items():
            start, _, dataset = name.partition("-")
            rows = tuple(row for row in table.rows if not dataset or row.dataset == dataset)
            if start == f"table{number}" and rows:
                return PaperTable(number=number, about=table.about, experiment=name, rows=rows)
        return None

    def alike(self, one: VariantName, other: VariantName) -> bool:
        """Whether both name one method, whatever its free parameters are."""
        return one.name == other.name and self._fixed(one) == self._fixed(other)

    def _fixed(self, name: VariantName) -> dict[str, str]:
        free = (*self.free.get(name.name, ()), "tune", "objective")
        return {key: text for key, text in name.parameters.items() if key not in free and "*" not in free}


def named(text: str) -> VariantName:
    """``name[key=value,...]`` by its parts; what has another form is a name as a whole.

    >>> named("prn[branches=global]")
    VariantName(name='prn', parameters={'branches': 'global'}, paths={}, nested={})
    """
    name, bracket, inside = text.removesuffix("]").partition("[")
    try:
        pairs = [piece.partition("=") for piece in pieces(inside)] if bracket else []
    except ValueError:
        return VariantName(name=text)
    return VariantName(name=name, parameters={key.strip(): value.strip() for key, _, value in pairs})


@cache
def load(path: Path = FILE) -> Published:
    """Read the file.

    Raises:
        UserError: it is missing, no TOML, or says what cannot be: one line with the place in it.
    """
    try:
        file = _File.model_validate(tomllib.loads(read_text(path)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"wrong value at {place}: {first['msg']}", path, "correct it by the paper") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read it, {error}", path, "install the program again") from None
    tables = {
        int(number): PaperTable(
            number=int(number),
            about=table.about,
            experiment=f"table{number}",
            rows=tuple(_row(line, [line, block, table], number, path) for block in table.blocks for line in block.rows),
        )
        for number, table in file.tables.items()
    }
    return Published(tables=tables, test_images=file.test_images, free={k: (*v,) for k, v in file.free.items()})


def _row(line: _Row, headings: list[_Heading], number: str, path: Path) -> PaperRow:
    """A line of a table with what the headings over it say, itself first."""

    def said(key: str) -> str:
        for heading in headings:
            if value := getattr(heading, key):
                return str(value)
        raise UserError(f"{line.row!r} of table {number} has no {key}", path, f"say its {key}, or that of its table")

    return PaperRow(
        block=next((heading.label for heading in headings if isinstance(heading, _Block)), ""),
        label=line.row,
        dataset=said("dataset"),
        base=said("base"),
        refiner=named(line.refiner),
        protocol=line.protocol or "A",
        numbers={column: printed for column in LARGEST if (printed := getattr(line, column)) is not None},
        source=f"the paper, Table {number}",
    )


def _number(column: Measure) -> Any:
    """The validator of a column's numbers."""

    def read(given: Any) -> Number | None:
        values = given if isinstance(given, list) else [given]
        if not 1 <= len(values) <= 2 or any(type(value) not in (int, float) for value in values):
            raise PydanticCustomError("number", "it must be a number, or [number, gain]")
        if not 0 <= values[0] <= LARGEST[column]:
            raise PydanticCustomError("range", f"{values[0]} is not between 0 and {LARGEST[column]:g}")
        return Number(*map(float, values))

    return BeforeValidator(read)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Heading(_Section):
    dataset: str = ""
    base: str = ""


class _Row(_Heading):
    row: str
    refiner: str
    protocol: Literal["", "A", "B"] = ""
    miou: Annotated[Number | None, _number("miou")] = None
    mba: Annotated[Number | None, _number("mba")] = None
    mae: Annotated[Number | None, _number("mae")] = None
    memory_gb: Annotated[Number | None, _number("memory_gb")] = None


class _Block(_Heading):
    label: str = ""
    rows: Annotated[list[_Row], Field(min_length=1)]


class _Table(_Heading):
    about: str
    blocks: Annotated[list[_Block], Field(min_length=1)]


class _File(_Section):
    test_images: dict[str, int]
    free: dict[str, list[str]]
    tables: dict[Annotated[str, Field(pattern="^[1-9]$")], _Table]
