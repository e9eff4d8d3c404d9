"""Data as classic scripts: a page that is opened from disk may load those, and no other data."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

LONG = 4096
"""Characters of data; of more a page would grow with its rows, which are much alike: they are deflated."""

_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def chunk(name: str, data: Any) -> str:
    """A script that hands data to the page under a name.

    Args:
        name: that `BENCH.load` of the page asks for.
        data: what JSON knows; no NaN.

    Returns:
        ASCII without ``<``, ``>`` and ``&``: it may stand in HTML, too, whatever the data hold. Data of more than
        `LONG` characters go as the base64 of their deflated JSON (zlib, RFC 1950), and say so in a third argument.

    >>> chunk("x", "</script>\u2028")
    'BENCH.push("x", "\\\\u003c/script\\\\u003e\\\\u2028");\\n'
    """
    text = _json(data)
    if len(text) <= LONG:
        return f"BENCH.push({_json(name)}, {text});\n"
    deflated = base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode()
    return f'BENCH.push({_json(name)}, "{deflated}", true);\n'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).translate(_ESCAPED)
