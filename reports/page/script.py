"""Data as classic scripts: a page that is opened from disk may load those, and no other data."""

from __future__ import annotations

import json
from typing import Any

_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def chunk(name: str, data: Any) -> str:
    """A script that hands data to the page under a name.

    Args:
        name: that `BENCH.load` of the page asks for.
        data: what JSON knows; no NaN.

    Returns:
        ASCII without ``<``, ``>`` and ``&``: it may stand in HTML, too, whatever the data hold.

    >>> chunk("x", "</script>\u2028")
    'BENCH.push("x", "\\\\u003c/script\\\\u003e\\\\u2028");\\n'
    """
    return f"BENCH.push({_json(name)}, {_json(data)});\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_ESCAPED)
