"""Data that a page loads as scripts."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bench.reports.page.script import chunk

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(), ANY)
def test_it_says_the_data_and_nothing_else(name: str, data: object) -> None:
    script = chunk(name, data)
    assert script.isascii() and not set("<>&") & set(script)
    inside = script.removeprefix("BENCH.push(").removesuffix(");\n")
    assert json.loads(f"[{inside}]") == [name, data]
