"""Data that a page loads as scripts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.reports.page.script import chunk
from tests.reports.page.stores import handed

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(), ANY)
def test_it_says_the_data_and_nothing_else(name: str, data: object) -> None:
    script = chunk(name, data)
    assert script.isascii() and not set("<>&") & set(script)
    assert handed(script) == (name, data)


def test_long_data_are_short() -> None:
    script = chunk("x", ["the same"] * 10_000)
    assert script.isascii() and not set("<>&") & set(script) and len(script) < 2000
    assert handed(script) == ("x", ["the same"] * 10_000)
