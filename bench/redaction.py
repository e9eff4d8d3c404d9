"""Text of others that goes out: without passwords, and without what steers a terminal or a spreadsheet."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache

HIDDEN = "***"

# A search may start at any letter. So what it repeats is short (a scheme: its end is enough to know it by), ends before
# the next start (a parameter's name: at the next question mark), or is not tried again shorter (possessive): else some
# ten thousand letters take minutes. No secret is too long.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]{1,30}:/{1,2})(?:[^\s/@'\"]++|[^\s/@'\":]++:[^\s@'\"]++)@", re.IGNORECASE)
"""``s3://KEY:SECRET@`` of an address; a `Path` keeps one slash of the two, and a secret may hold another one."""

_PARAMETER = re.compile(
    r"([?&][^=&?\s]*(?:token|key|secret|signature|password|credential)[^=&\s]*+=)[^&\s'\")]+", re.IGNORECASE
)
_TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|gh[a-z]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|A[KS]IA[A-Z0-9]{16})\b")

_SECRET_VARIABLE = re.compile(r".*(TOKEN|SECRET|PASSWORD|ACCESS_KEY|ACCESS_KEY_ID|API_KEY)", re.IGNORECASE)
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?", re.IGNORECASE)

LONGEST = 1000
"""Characters of a line that says what went wrong."""

_ESCAPES = re.compile(r"\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")

_SHORTEST = 8
"""Characters; a shorter value of such a variable may be any word."""


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text with ``***`` in place of passwords in addresses, tokens, and the values of variables that hold such.

    >>> redacted("git+https://me:pw@host/x?token=abc&page=2 (s3://KEY:SECRET@bucket/runs)", {})
    'git+https://***@host/x?token=***&page=2 (s3://***@bucket/runs)'
    """
    text = _ADDRESS.sub(rf"\1{HIDDEN}@", text)
    text = _PARAMETER.sub(rf"\1{HIDDEN}", text)
    text = _TOKEN.sub(HIDDEN, text)
    for name in filter(_is_secret, environment):
        value = environment.get(name, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    return text


@cache
def _is_secret(variable: str) -> bool:
    return _SECRET_VARIABLE.fullmatch(variable) is not None


def printable(text: str) -> str:
    r"""The text as one line that can be printed: redacted, white space as single blanks, control characters escaped.

    >>> printable("a\nb\x1b[31m")
    'a b\\x1b[31m'
    """
    plain = " ".join(redacted(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def one_line(text: str) -> str:
    r"""As `printable`, without the commands of a terminal, and cut in its middle to `LONGEST` characters.

    >>> one_line("\x1b[31mno such\x1b[0m\n\tfile")
    'no such file'
    """
    # Cut before, too: a message may have megabytes.
    return _cut(printable(_ESCAPES.sub("", _cut(text, 8 * LONGEST))), LONGEST)


def _cut(text: str, longest: int) -> str:
    half = (longest - 5) // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def cell(text: str) -> str:
    """The text of a CSV's field, which no spreadsheet takes for a formula: an apostrophe goes before such.

    >>> cell("=cmd|' /C calc'!A0"), cell("-1.5"), cell("unet")
    ("'=cmd|' /C calc'!A0", '-1.5', 'unet')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
