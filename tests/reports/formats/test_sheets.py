"""Sheets in every format: all hold the same values."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bench.reports.formats import xlsx
from bench.reports.formats.sheets import RENDERERS
from bench.reports.sheets import Field, Sheet
from tests.reports.formats.test_injection import EVIL
from tests.reports.formats.test_latex import compile_document

FIELDS = (
    Field(key="refiner", title="Refiner"),
    Field(key="gain", title="gain", meaning="over the base", digits=1, scale=100, signed=True),
    Field(key="p", title="p", digits=3),
    Field(key="share", title="share", digits=0, scale=100, unit=" %"),
)


def sheet(*rows: tuple[Any, ...], **more: Any) -> Sheet:
    given = {"key": "tests", "title": "Tests", "fields": FIELDS, "remarks": ("200 images",), "notes": ("by signs",)}
    return Sheet(rows=rows, **{**given, **more})


@pytest.fixture
def sheets() -> list[Sheet]:
    first = sheet(("prn", 0.0123, 0.00002, 0.25), ("crf", -0.0123, None, 1), bold=frozenset({(0, 1)}))
    return [first, sheet(("a_b", float("nan"), 0.5, None), key="more", title="More & more")]


def cells(text: str, name: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(name))
    return [cell.strip() for cell in re.split(r"(?<!\\)&", found.removesuffix(r"\tabularnewline"))]


def test_latex(sheets: list[Sheet]) -> None:
    text = RENDERERS["latex"](sheets)
    assert cells(text, "prn") == ["prn", r"\textbf{+1.2}", r"\textless{}0.001", r"25 \%"]
    assert cells(text, "crf") == ["crf", "$-$1.2", "n/a", r"100 \%"]
    assert r"\caption{Tests: 200 images.}" in text and r"\caption{More \& more: 200 images.}" in text
    assert "by signs." in text and "gain: over the base." in text


def test_latex_of_many_long_and_wide_rows_fits_its_pages(tmp_path: Path) -> None:
    rows = [(f"a[refiner=b[weights=some_long_name_of_weights_{number}],more=1]", 0.1, 0.5, 1) for number in range(300)]
    many = tuple(Field(key=f"f{number}", title=f"column {number}", digits=2) for number in range(30))
    wide = Sheet(key="w", title="W", fields=many, rows=(tuple(range(30)),))
    text = RENDERERS["latex"]([sheet(*rows), wide, sheet()])
    log = compile_document(text, tmp_path)
    assert "Overfull" not in log and "Float too large" not in log and "Too many" not in log
    parts = re.findall(r"Tests \((\d+) of (\d+)\)", text)
    assert len(parts) > 10 and {total for _, total in parts} == {str(len(parts))}
    plain = text.replace(r"\allowbreak{}", "")
    assert sum(plain.count(rf"weights\_{number}]") for number in range(300)) == 300


def test_json_has_the_values_as_they_were_computed(sheets: list[Sheet]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(RENDERERS["json"](sheets), parse_constant=refuse)
    assert set(found) == {"refinebench", "sheets"}
    first, second = found["sheets"]
    assert first["rows"][0] == {"refiner": "prn", "gain": 0.0123, "p": 0.00002, "share": 0.25}
    assert second["rows"][0]["gain"] is None and second["rows"][0]["share"] is None
    assert first["columns"][1] == {"key": "gain", "title": "gain", "meaning": "over the base", "unit": ""}
    assert (first["key"], first["title"], first["remarks"], first["notes"]) == (
        "tests",
        "Tests",
        ["200 images"],
        ["by signs"],
    )


def test_markdown_marks_the_best_and_csv_does_not_round(sheets: list[Sheet]) -> None:
    assert re.search(r"\| prn +\| +\*\*\+1\.2\*\* \| <0\.001 \|", RENDERERS["markdown"](sheets))
    assert next(csv.DictReader(io.StringIO(RENDERERS["csv"](sheets))))["gain"] == "0.0123"


def test_a_workbook_has_numbers_that_are_shown_as_everywhere(sheets: list[Sheet]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(xlsx.workbook(sheets)))
    assert book.sheetnames == ["tests", "more", "legend"]
    page = book["tests"]
    assert [cell.value for cell in page[1]] == ["Refiner", "gain", "p", "share"]
    name, gain, p, share = page[2]
    assert (name.value, p.value, share.value) == ("prn", 0.00002, 25) and gain.value == pytest.approx(1.23)
    assert (gain.number_format, p.number_format, share.number_format) == ("+0.0;-0.0;0.0", "0.000", '0" %"')
    assert gain.font.bold and not p.font.bold and page["C3"].value is None and book["more"]["B2"].value is None
    assert page.freeze_panes == "B2" and page.auto_filter.ref == "A1:D3"
    assert ["tests", "gain: over the base"] in [[cell.value for cell in row] for row in book["legend"]]


@pytest.mark.parametrize("text", [EVIL, "=1+1", "+1", "-1", "@sum", "http://evil", "{=1}", "\x01\x1b[2J", "x" * 40_000])
def test_text_in_a_workbook_is_text(text: str) -> None:
    evil = sheet((text, 0.1, 0.1, 0.1), title=text, notes=(text,), remarks=(text,))
    book = openpyxl.load_workbook(io.BytesIO(xlsx.workbook([evil], [(text, text)])))
    for page in book:
        for row in page:
            for cell in row:
                assert cell.data_type in ("s", "n") and cell.hyperlink is None
    value = book["tests"]["A2"].value
    assert value == " ".join(text.split()) or "\\x1b" in value or len(value) == 32_767


def test_the_same_sheets_are_the_same_bytes(sheets: list[Sheet]) -> None:
    assert xlsx.workbook(sheets) == xlsx.workbook(sheets)
