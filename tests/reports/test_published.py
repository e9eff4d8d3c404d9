"""The paper's numbers as data: whole, consistent in themselves, and named as the experiments name them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from bench import config
from bench.config import Grid
from bench.contracts import UserError
from bench.plugins.variants import resolve
from bench.reports.published import FILE, PaperTable, load

TABLES = load().tables

each = pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.experiment)

# Table -> rows, numbers, printed gains; counted in the paper.
COUNTS = {1: (3, 6, 0), 2: (10, 20, 18), 3: (22, 44, 22), 4: (3, 6, 4), 5: (8, 15, 7), 6: (4, 12, 4), 7: (4, 8, 4)}


@each
def test_every_table_is_whole(table: PaperTable) -> None:
    numbers = [number for row in table.rows for number in row.numbers.values()]
    gains = [number for number in numbers if number.gain is not None]
    assert (len(table.rows), len(numbers), len(gains)) == COUNTS[table.number]


@each
def test_the_numbers_are_those_of_the_fact_sheet(table: PaperTable, shared: Path) -> None:
    text = (shared / "specs" / "paper.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"\*\*Table {table.number}\*\*(.*?)(?=\n\n\*\*)", text, re.DOTALL)
    said = (value for row in table.rows for number in row.numbers.values() for value in number if value is not None)
    assert Counter(said) == Counter(map(float, re.findall(r"\d+\.\d+", section)))


@each
def test_every_printed_gain_is_the_difference_of_the_printed_values(table: PaperTable) -> None:
    """Were one off by no more than 0.1, rounding could explain it; none is."""
    for column in table.columns:
        alone = {
            (row.dataset, row.base): row.numbers[column].value
            for row in table.rows
            if row.refiner.label() == "identity" and row.protocol == "A" and column in row.numbers
        }
        for row in table.rows:
            number = row.numbers.get(column)
            if number is not None and number.gain is not None:
                assert round(number.value - alone[row.dataset, row.base], 4) == number.gain, row


def test_a_number_that_is_printed_in_several_tables_is_the_same() -> None:
    seen: dict[tuple[str, ...], set[float]] = {}
    for table in TABLES.values():
        for row in table.rows:
            for column, number in row.numbers.items():
                key = row.dataset, row.base, row.refiner.label(), row.protocol, column
                seen.setdefault(key, set()).add(number.value)
    assert {key: values for key, values in seen.items() if len(values) > 1} == {}


@each
def test_its_experiment_computes_every_row(table: PaperTable) -> None:
    settings = config.load()
    cells = [
        (dataset, base, resolve("refiner", refiner, settings).name, protocol)
        for part in settings.grids(table.experiment, Grid())
        for dataset in part.dataset
        for base in part.base
        for refiner in part.refiner
        for protocol in part.protocol
    ]
    for row in table.rows:
        # The names that the file has for refiners are those of the cells: without what is a default.
        assert resolve("refiner", row.refiner.label(), settings).name == row.refiner
        assert any(
            cell[:2] == (row.dataset, row.base) and load().alike(row.refiner, cell[2]) and cell[3] == row.protocol
            for cell in cells
        ), row


def test_free_parameters_are_parameters() -> None:
    settings = config.load()
    for name, keys in load().free.items():
        assert set(keys) - {"*"} <= resolve("refiner", name, settings).parameters.keys()


@pytest.mark.parametrize(
    ("name", "rows"), [("table3", 22), ("table3-kvasir", 8), ("table3-duts", 0), ("table", 0), ("table31", 0)]
)
def test_an_experiment_stands_for_a_table_or_its_part(name: str, rows: int) -> None:
    table = load().of_experiment(name)
    assert (len(table.rows) if table else 0) == rows


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("miou = 61.3, mba = 49.8", 'miou = "61.3", mba = 49.8', "tables.1.blocks.0.rows.0.miou: it must be a number"),
        ("miou = 61.3, mba = 49.8", "miou = 613, mba = 49.8", "613 is not between 0 and 100"),
        ("mae = 0.0897", "mae = 8.97", "8.97 is not between 0 and 1"),
        ('"prn", miou = [60.9, 5.1]', '"prn", miou = [60.9, 5.1, 1]', "it must be a number, or [number, gain]"),
        ("miou = 61.3", "iou = 61.3", "iou: Extra inputs are not permitted"),
        ('base = "rfcn", ', "", "'RFCN' of table 6 has no base"),
        ('protocol = "B"', 'protocol = "C"', "protocol: "),
        ("[tables.1]", "[tables.1", "cannot read it"),
    ],
)
def test_a_broken_file_is_one_line(old: str, new: str, says: str, tmp_path: Path) -> None:
    broken = tmp_path / "published.toml"
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    broken.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        load(broken)
    assert says in str(raised.value) and str(broken) in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read it"):
        load(tmp_path / "none.toml")
