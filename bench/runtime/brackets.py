"""Lists in brackets that may hold such lists."""

from __future__ import annotations

import re

_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|.""", re.DOTALL)
"""A text in quotes as TOML has them, or one character."""


def pieces(text: str, at: str = ",") -> list[str]:
    """Cut where a character stands outside quotes and brackets. A closing bracket that closes nothing is a character.

    Args:
        at: the character; it is in none of the pieces.

    Raises:
        ValueError: a quote or a bracket is not closed.

    >>> pieces("refiner=prn[size=96,mean=[1,2]],gain=2")
    ['refiner=prn[size=96,mean=[1,2]]', 'gain=2']
    >>> pieces("gated[refiner=a+b]+c", "+")
    ['gated[refiner=a+b]', 'c']
    """
    found, depth = [""], 0
    for token in _TOKEN.findall(text):
        if token in ("'", '"'):
            raise ValueError(f"{token} is not closed")
        depth = max(0, depth + (token == "[") - (token == "]"))
        if token == at and not depth:
            found.append("")
        else:
            found[-1] += token
    if depth:
        raise ValueError("[ is not closed")
    return found
