"""A browser on the page, opened from disk: what a reader does, by mouse and by keyboard."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from bench.commands.compare import compare
from bench.commands.results import Results
from bench.reports import FORMATS, assemble, read
from bench.reports.page import of_store, write
from bench.store import Store
from tests.reports.page.stores import BASE, GAINS, HOSTILE, LATER, REFINER, base_map, hostile
from tests.reports.stores import add, records

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip("playwright.sync_api", reason="drives the page, from the extra 'test'")

ROW = "#table tbody tr:not([hidden])"
VIEWS = ("", "#view=plots", "#view=statistics", "#view=about")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(store=hostile(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def home(results: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    return results.page(tmp_path_factory.mktemp("a page #1 & 100%")).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as running:
        try:
            # Debian's own, where it is; else the one that playwright has installed.
            found = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium to drive: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture(scope="module")
def home_of_two(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("two")
    one = hostile(folder / "a'<b>&")
    other = hostile(folder / "b", gains=LATER, refined_map=base_map())
    add(other, "new</td><script>", records(BASE, id=list(HOSTILE)))
    return compare(one.address, other.address).page(folder / "page").as_uri()


@pytest.fixture
def page(browser: Browser, home: str) -> Iterator[Page]:
    yield from watched(browser, home)


@pytest.fixture
def page_of_two(browser: Browser, home_of_two: str) -> Iterator[Page]:
    yield from watched(browser, home_of_two)


def watched(browser: Browser, home: str) -> Iterator[Page]:
    """It fails a test in which a script fails, something is alerted, or a request leaves the folder."""
    wrong: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"alerted {dialog.message}"))
    # What a next step of the test breaks off is no failure.
    page.on(
        "requestfailed",
        lambda request: None if "ABORTED" in (request.failure or "") else wrong.append(f"failed {request.url}"),
    )
    folder = home.removesuffix("index.html")
    page.on("request", lambda request: None if request.url.startswith((folder, "data:")) else wrong.append(request.url))
    open_at(page, home)
    yield page
    context.close()
    assert wrong == []


def open_at(page: Page, address: str) -> None:
    page.goto("about:blank")  # else another hash alone loads nothing
    page.goto(address)
    page.wait_for_selector("html[data-ready]")


def column(page: Page, place: int) -> list[str]:
    return [text.strip() for text in page.locator(f"{ROW} > :nth-child({place})").all_inner_texts()]


def open_row(page: Page) -> None:
    page.locator("#q").fill("crf roads unet")
    page.locator(f"{ROW} a").first.click()
    page.wait_for_selector("#list tbody a")


def first_image(page: Page) -> str:
    return page.locator("#list tbody bdi").first.inner_text()


def test_sorted_by_a_click_best_first_and_told_to_a_screen_reader(page: Page) -> None:
    head = page.locator("#table thead th", has_text="mIoU").first
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    numbers = [float(text) for text in column(page, 4) if text[0].isdigit()]
    assert len(numbers) == 9 and numbers == sorted(numbers, reverse=True)
    assert column(page, 4)[-1].startswith("failed: boom </td><script>")  # without numbers last
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    numbers = [float(text) for text in column(page, 4) if text[0].isdigit()]
    assert numbers == sorted(numbers)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") is None


def test_filtered_and_a_link_keeps_it(page: Page) -> None:
    page.locator("#dataset").select_option("\u05d0\u05d1")
    page.locator("#q").fill("50%")
    page.get_by_label("without oracles").check()
    assert page.locator(ROW).count() == 1
    assert page.locator("#count").inner_text() == "1 of 12 rows"
    kept = page.url
    open_at(page, kept)
    assert page.locator(ROW).count() == 1
    assert page.locator("#q").input_value() == "50%"
    page.locator("#q").fill("nothing like it")
    assert page.get_by_text("No row is left").is_visible()


def test_images_by_loss_and_by_gain(page: Page) -> None:
    open_row(page)
    assert page.locator("#row-title").inner_text() == REFINER
    by_gain = [HOSTILE[place] for place in sorted(range(6), key=lambda place: GAINS[place])]
    texts = page.locator("#list tbody bdi").all_text_contents()
    assert texts == by_gain
    page.locator("#first").select_option("gain")
    assert page.locator("#list tbody bdi").all_text_contents()[0] == by_gain[-1]
    page.locator("#kept").check()
    assert page.locator("#list-count").inner_text() == "3 of 6 images"
    page.go_back()
    assert page.locator("#results").is_visible() and page.locator("#q").input_value() == "crf roads unet"


def test_image_slider_by_keyboard_overlay_and_zoom(page: Page) -> None:
    open_row(page)
    page.locator("#first").select_option("gain")
    page.locator("#list tbody a").first.press("Enter")
    assert page.locator("#viewer-title").text_content() == HOSTILE[0]
    slider = page.locator("#slider")
    slider.focus()
    slider.press("ArrowRight")
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") == "100 % base, 0 % refined"
    half = page.locator("#frame .before")
    assert half.evaluate("one => getComputedStyle(one).clipPath") == "inset(0px 0% 0px 0px)"
    slider.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0 % base, 100 % refined"
    # All pictures are there, and the layers cover the image.
    layers = "document.querySelectorAll('#frame img')"
    page.wait_for_function(f"[...{layers}].every(one => one.complete && one.naturalWidth === 12)")
    assert page.evaluate(f"{layers}.length") == 3
    for mode, style in (("map, colour", "as-colour"), ("mask", "as-mask"), ("map, grey", "none")):
        page.get_by_label(mode, exact=True).check()
        assert style in half.evaluate("one => one.style.filter")
    width = page.locator("#frame").evaluate("one => one.clientWidth")
    page.get_by_label("Zoom").select_option("4")
    assert page.locator("#frame").evaluate("one => one.clientWidth") == pytest.approx(4 * width, abs=40)
    page.get_by_label("truth", exact=True).check()
    assert slider.is_disabled()
    page.get_by_role("button", name="Next").click()
    assert page.locator("#viewer-title").text_content() == HOSTILE[2]
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('image=')")  # a dialog says a moment later that it is closed
    assert not page.locator("#viewer").is_visible()


def test_the_colours_of_a_mask_are_those_of_half(page: Page) -> None:
    """0.5 is an object: the filter of the browser draws the line where the metrics do."""
    open_row(page)
    page.locator("#list tbody a", has_text=HOSTILE[0]).click()
    page.get_by_label("mask", exact=True).check()
    page.locator("#slider").press("End")
    page.wait_for_function("[...document.querySelectorAll('#frame img')].every(one => one.complete)")
    shot = page.locator("#frame").screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("L")).astype(int)
    height, width = pixels.shape
    middle = pixels[int(height * 0.6)]
    assert middle[int(width * 0.2)] == 255 and middle[int(width * 0.7)] == 0
    assert middle[int(width * (11.5 / 12))] == 255  # 0.5 itself
    assert pixels[int(height / 16), int(width * 0.2)] == 0


def test_links_open_an_image_and_the_command_is_there(page: Page) -> None:
    open_row(page)
    page.locator("#list tbody a", has_text=HOSTILE[1]).click()
    kept = page.url
    open_at(page, kept)
    page.wait_for_selector("#viewer[open]")
    assert page.locator("#viewer-title").text_content() == HOSTILE[1]
    page.get_by_role("button", name="Close").click()
    page.locator("summary", has_text="The command").click()
    assert page.locator("#command").inner_text().startswith("bench run --dataset roads")


def test_copied_as_the_formats_have_it(page: Page, results: Results) -> None:
    def copied(form: str) -> str:
        page.locator("#results").get_by_role("button", name=form).click()
        page.wait_for_selector("#copied[open]")  # the texts are loaded first
        text = page.locator("#copied-text").input_value()
        page.get_by_role("button", name="Close").click()
        return text

    assert copied("CSV") == results.report("csv")
    page.locator("#dataset").select_option("roads")
    page.locator("#base").select_option("unet")
    latex = copied("LaTeX").splitlines()
    assert latex.count(r"\toprule") == 1 and set(latex) <= set(results.paper().splitlines())
    row = next(line for line in FORMATS["markdown"].render(results._report).splitlines() if line.startswith("| crf"))
    assert row in copied("Markdown")


def test_plots_tell_where_the_pointer_is_and_open_a_row(page: Page) -> None:
    page.get_by_role("link", name="Plots").click()
    page.wait_for_selector("#plot-quality .point")
    marks = page.evaluate("document.getElementById('plot-seconds').data.flatMap(trace => trace.text)")
    assert len(marks) == 3 and all("&lt;b&gt;50%&lt;/b&gt;" in mark for mark in marks)
    page.locator("#plot-seconds .point").first.hover(force=True)
    page.wait_for_selector("#plot-seconds .hoverlayer text")
    assert "<b>50%</b>" in (page.locator("#plot-seconds .hoverlayer").text_content() or "")


def test_theme_by_the_switch_and_by_the_system(page: Page, home: str) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.get_by_label("Theme").select_option("dark")
    dark = page.evaluate(colour)
    assert dark == "rgb(20, 23, 26)"
    page.get_by_label("Theme").select_option("")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) == dark


def test_a_phone_scrolls_downwards_alone(page: Page, home: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    row = page.locator(f"{ROW} a").nth(1).get_attribute("href")
    assert row is not None
    for view in (*VIEWS, row, f"{row}&image=plain"):
        open_at(page, f"{home}{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view


def test_without_scripts_all_tables_are_there(browser: Browser, home: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(home)
    assert page.locator("#table tbody tr:visible").count() == 12
    assert page.locator("#statistics").is_visible() and page.locator("#about").is_visible()
    assert not page.locator("#filters").is_visible() and not page.locator("#row").is_visible()


def test_two_stores_side_by_side(page_of_two: Page) -> None:
    page = page_of_two
    assert "of 9 compared cells, 6 equal bit for bit" in page.locator(".lead").inner_text()
    page.locator("#verdict").select_option("in B alone")
    assert [text.split("\n")[0] for text in column(page, 3)] == ["new</td><script>"]
    page.locator("#verdict").select_option("")
    open_row(page)
    change = dict(zip(HOSTILE, np.subtract(LATER, GAINS), strict=True))
    names = page.locator("#list tbody bdi").all_text_contents()
    assert [change[name] for name in names] == pytest.approx(sorted(change.values()))
    page.wait_for_selector("#plot-images .point")
    page.locator("#list tbody a").first.press("Enter")
    slider = page.locator("#slider")
    slider.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0 % A, 100 % B"
    page.wait_for_function("[...document.querySelectorAll('#frame img')].every(one => one.complete)")
    assert [page.locator(f"#frame .{side}").get_attribute("alt") for side in ("before", "after")] == [
        "errors, A",
        "errors, B",
    ]
    assert column_of_numbers(page) == ["60.00", "45.00", "-15.00"]
    kept = page.url
    open_at(page, kept)
    page.wait_for_selector("#viewer[open]")


def test_a_row_of_one_store_alone_has_its_images(page_of_two: Page) -> None:
    page_of_two.locator(f"{ROW} a", has_text="new</td>").click()
    page_of_two.wait_for_selector("#list tbody a")
    assert page_of_two.locator("#row-said").inner_text().endswith("seed 0 in B alone: not in A.")
    page_of_two.locator("#list tbody a").first.click()
    assert column_of_numbers(page_of_two) == ["n/a", "40.00", "n/a"]


def column_of_numbers(page: Page) -> list[str]:
    """Of the first metric of the image that is shown."""
    return page.locator("#numbers tbody tr").first.locator("td").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_axe_in_two_stores(page_of_two: Page, home_of_two: str, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="checks it, from the extra 'test'").Axe()
    page_of_two.emulate_media(color_scheme=scheme)
    row = page_of_two.locator(f"{ROW} a", has_text="crf").first.get_attribute("href")
    for view in ("", "#view=statistics", row, f"{row}&image=plain", f"{row}&image={quote(HOSTILE[0])}"):
        open_at(page_of_two, f"{home_of_two}{view}")
        page_of_two.wait_for_selector("#viewer[open]" if "&image" in str(view) else "h2:visible")
        page_of_two.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        found = axe.run(page_of_two, options={"preload": False})
        assert found.violations_count == 0, f"{view}: {found.generate_report()}"
        page_of_two.set_viewport_size({"width": 390, "height": 844})
        assert page_of_two.evaluate("document.documentElement.scrollWidth") <= 390, view


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_axe(page: Page, home: str, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="checks it, from the extra 'test'").Axe()
    page.emulate_media(color_scheme=scheme)
    row = page.locator(f"{ROW} a").nth(1).get_attribute("href")
    assert row is not None
    for view, ready in (
        *((view, "html[data-ready]") for view in VIEWS),
        (row, "#plot-images .point"),
        (f"{row}&image=plain", "#viewer[open]"),
        (f"{row}&image=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.jpg", "#viewer[open]"),
    ):
        open_at(page, f"{home}{view}")
        page.wait_for_selector(ready)
        found = axe.run(page, options={"preload": False})  # it would fetch page.css, which nothing on a disk may
        assert found.violations_count == 0, f"{view}: {found.generate_report()}"


def test_one_file_has_tables_plots_and_texts(results: Results, browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(results.single_page())
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
    open_at(page, path.as_uri())
    page.locator("#q").fill("crf")
    assert page.locator(ROW).count() == 3 and page.locator(f"{ROW} a").count() == 0
    page.locator("#results").get_by_role("button", name="LaTeX").click()
    page.wait_for_selector("#copied[open]")
    assert "tabular" in page.locator("#copied-text").input_value()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="Plots").click()
    page.wait_for_selector("#plot-quality .point")
    page.close()
    assert wrong == []


def test_of_many_images_few_lines_are_in_the_page(browser: Browser, tmp_path: Path) -> None:
    store, many = Store(tmp_path / "store"), 3_001
    drawn = np.random.default_rng(0).uniform(0.2, 0.8, many)
    add(store, "identity", records(drawn))
    add(store, "crf", records(drawn + np.linspace(-0.1, 0.1, many)))
    found = read(store, "identity")
    content = of_store("many", assemble(found, "identity"), found, {}, store)
    page = browser.new_page()
    open_at(page, write(tmp_path / "page", content).as_uri())
    page.locator(f"{ROW} a").nth(1).click()
    page.wait_for_selector("#list tbody a")
    assert first_image(page) == "image0"
    assert page.locator("#list table").get_attribute("aria-rowcount") == "3002"
    page.locator("#list").evaluate("one => { one.scrollTop = one.scrollHeight }")
    page.wait_for_selector("#list tbody a:has-text('image3000')")
    assert page.locator("#list tbody tr").count() < 60
    # So many marks are drawn as a density, which counts all.
    page.wait_for_selector("#plot-images .hm")
    page.close()
