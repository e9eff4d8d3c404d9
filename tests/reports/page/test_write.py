"""The folder of a page: what is in it, what it holds of the store, and what it leaves alone."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import main
from bench.commands.results import Results
from bench.contracts import UserError
from bench.reports import FORMATS
from bench.reports.page.values import packed
from tests.reports.page.stores import BASE, GAINS, HOSTILE, REFINER, handed, hostile


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(store=hostile(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results.page(tmp_path_factory.mktemp("out") / "page").parent


def chunk(folder: Path, name: str) -> Any:
    said, data = handed((folder / "data" / f"{name}.js").read_text())
    assert said == name
    return data


def rows(folder: Path) -> list[dict[str, Any]]:
    said, data = handed((folder / "data" / "first.js").read_text().splitlines()[1])
    assert said == "rows"
    return list(data)


def row(folder: Path, **wanted: str) -> Any:
    facts = next(one for one in rows(folder) if wanted.items() <= one.items())
    return chunk(folder, f"row-{facts['id']}")


def unpacked(data: Any) -> list[int | None]:
    if isinstance(data, list):
        return data
    content = base64.b64decode(data["codes"])
    codes = [int.from_bytes(content[place : place + 3], "little") for place in range(0, len(content), 3)]
    return [None if code == 2**24 - 1 else data["low"] + code for code in codes]


ROADS = {"dataset": "roads", "base": "unet"}


def test_files(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "page.css", "plotly.min.js", "data", "pictures"),
        *("core.js", "table.js", "plots.js", "viewer.js", "images.js", "main.js"),
    }
    names = {re.sub("[0-9a-f]{16,}", "DIGEST", path.name) for path in folder.rglob("*/*")}
    assert names == {
        *("first.js", "texts.js", "row-DIGEST.js", "images-DIGEST.js", "values-DIGEST.js"),
        *("DIGEST.webp", "DIGEST.png"),
    }


def test_all_that_the_html_names_is_in_the_folder(folder: Path) -> None:
    named: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            named.extend(value or "" for key, value in attrs if key in ("src", "href"))

    Links().feed((folder / "index.html").read_text())
    files = [name for name in named if not name.startswith(("#", "data:,"))]
    assert files and all((folder / name).is_file() for name in files)


def test_same_store_same_bytes(results: Results, folder: Path, tmp_path: Path) -> None:
    again = Results(store=results.store).page(tmp_path).parent
    both = [{path.relative_to(one): path.read_bytes() for path in one.rglob("*.*")} for one in (folder, again)]
    assert both[0] == both[1]


def test_numbers_of_images(folder: Path) -> None:
    found = row(folder, refiner=REFINER, **ROADS)
    assert chunk(folder, found["images"]) == list(HOSTILE)
    step = next(measure["step"] for measure in found["measures"] if measure["key"] == "iou")
    before, after = (
        [value for value in unpacked(chunk(folder, found[which])["iou"]) if value is not None]
        for which in ("before", "after")
    )
    assert [value * step for value in before] == pytest.approx([100 * value for value in BASE])
    gains = [(new - old) * step for old, new in zip(before, after, strict=True)]
    assert gains == pytest.approx([100 * gain for gain in GAINS])


def test_a_value_that_is_not_defined_is_none(folder: Path) -> None:
    values = chunk(folder, row(folder, refiner=REFINER, **ROADS)["after"])
    assert unpacked(values["mae"]) == [None] * len(HOSTILE)


@given(st.lists(st.none() | st.integers(-(10**9), 10**9) | st.integers(-1000, 1000)))
def test_packed_values_are_the_values(values: list[int | None]) -> None:
    assert unpacked(packed(values)) == values


def test_bases_of_one_dataset_share_their_chunks(folder: Path) -> None:
    one, other = (row(folder, refiner=REFINER, dataset="roads", base=base) for base in ("unet", "psp<i>"))
    assert one["images"] == other["images"] and one["before"] == other["before"]


def test_pictures_are_named_by_digest_and_there(folder: Path) -> None:
    found = row(folder, refiner=REFINER, **ROADS)["pictures"]
    assert [picture["id"] for picture in found] == list(HOSTILE[:3])
    kinds = ("image", "truth", "before", "after", "before_errors", "after_errors")
    assert all((folder / "pictures" / picture[kind]).is_file() for picture in found for kind in kinds)


def test_the_table_is_there_without_scripts(results: Results, folder: Path) -> None:
    texts: list[str] = []

    class Cells(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data.strip())

    Cells().feed((folder / "index.html").read_text().replace("<wbr>", ""))
    line = next(line for line in results.report("markdown").splitlines() if "crf" in line)
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    place = next(place for place, text in enumerate(texts) if "crf[" in text)
    shown = [text for text in texts[place + 1 :] if text]
    first = shown.index(cells[0].strip("*"))
    assert shown[first : first + len(cells)] == [cell.strip("*") for cell in cells]


def test_names_are_text(folder: Path) -> None:
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not any(key.startswith("on") for key, _ in attrs)

    html = (folder / "index.html").read_text()
    Tags().feed(html)
    assert not {"img", "b", "i"} & set(tags)
    assert tags.count("script") == html.count('<script src="')


def test_texts_to_copy_are_those_of_the_formats(results: Results, folder: Path) -> None:
    texts = chunk(folder, "texts")
    whole = texts["blocks"][0]["heading"] + "".join(block["csv"] for block in texts["blocks"])
    assert whole == results.report("csv")
    markdown = FORMATS["markdown"].render(results._report)
    table = [line for line in texts["blocks"][0]["markdown"].splitlines() if line.startswith("| crf")]
    assert table and all(line in markdown for line in table)


def test_the_command_names_the_cells(folder: Path) -> None:
    assert row(folder, refiner=REFINER, **ROADS)["command"].startswith(
        "bench run --dataset roads --base unet --refiner 'crf[note="
    )


def test_a_page_is_replaced_and_other_files_stay(results: Results, tmp_path: Path) -> None:
    results.page(tmp_path)
    (tmp_path / "report.md").write_text("mine")
    stale = tmp_path / "data" / "row-0123456789abcdef.js"
    stale.write_text("old")
    (tmp_path / "data" / "mine.js").write_text("mine")
    before = (tmp_path / "index.html").read_bytes()
    results.page(tmp_path)
    assert not stale.exists() and (tmp_path / "index.html").read_bytes() == before
    assert (tmp_path / "report.md").exists() and (tmp_path / "data" / "mine.js").exists()
    assert not [path for path in tmp_path.iterdir() if "page.new" in path.name]


@pytest.mark.parametrize("name", ["index.html", "data", "pictures"])
def test_what_is_not_its_own_is_left_alone(results: Results, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="not its own"):
        results.page(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_damaged_picture_leaves_nothing_half_written(tmp_path: Path) -> None:
    store = hostile(tmp_path / "store")
    next((tmp_path / "store" / "kept").glob("*.webp")).write_bytes(b"torn")
    with pytest.raises(UserError, match="damaged picture"):
        Results(store=store).page(tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_by_the_command_line(results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["report", "--store", results.store.address, "--html"]
    assert main(call) == 2
    assert "--out DIR" in capsys.readouterr().err
    assert main([*call, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "index.html")]
    assert main([*call, "--single-file", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").is_file()


def test_one_file(results: Results) -> None:
    texts: list[str] = []

    class Scripts(HTMLParser):
        inside = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = tag == "script"
            assert not {"src"} & {key for key, _ in attrs}

        def handle_data(self, data: str) -> None:
            if self.inside and data.strip():
                texts.append(data)

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

    Scripts().feed(results.single_page())
    plotly, *ours, first, copies, main = texts
    assert "plotly" in plotly[:200] and len(ours) == 5
    assert first.startswith('BENCH.push("words"') and copies.startswith('BENCH.push("texts"') and "BENCH.show" in main
