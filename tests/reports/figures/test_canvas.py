"""How names are written, and the size of what is drawn."""

from __future__ import annotations

import io
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.redaction import printable
from bench.reports.figures.canvas import DOUBLE, SINGLE, blank, rendered, wrapped

HOSTILE = [
    "$x_{$ 100% <b>",
    "_a_b^2\\frac",
    "\u05e9\u05dc\u05d5\u05dd[a=1]",
    "\u0645\u0631\u062d\u0628\u0627",
    "a\nb\x1b[31m",
    "\u202eabc",
    "\u6f22\u5b57",
    "",
    "x" * 300,
]


@given(st.text(max_size=80), st.integers(4, 40))
def test_lines_are_short_and_nothing_but_blanks_is_lost(name: str, width: int) -> None:
    lines = wrapped(name, width, lines=1000).split("\n")
    assert all(len(line) <= width for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", printable(name))


def test_a_long_name_is_cut() -> None:
    assert wrapped("x" * 300, 10, lines=3).split("\n") == ["x" * 9, "x" * 9, "x" * 9 + "…"]


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_the_file_is_as_wide_as_the_column(width: float) -> None:
    with Image.open(io.BytesIO(rendered(lambda: blank(width, 1))["png"])) as picture:
        assert picture.width == round(300 * width)


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_can_be_drawn_whatever_the_users_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)

    def draw() -> object:
        figure = blank(SINGLE, 1)
        axes = figure.add_subplot()
        axes.set_title(wrapped(name, 20))
        figure.legend(axes.plot([0, 1]), [wrapped(name, 20)])
        return figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rendered(draw)  # type: ignore[arg-type]
    assert found["pdf"].startswith(b"%PDF") and found["png"].startswith(b"\x89PNG")
    assert matplotlib.rcParams["text.usetex"] is True
