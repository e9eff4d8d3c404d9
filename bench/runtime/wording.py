"""Times, counts and long lists as people say them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

LONGEST = 12
"""Lines of a list that is printed."""


def spoken(seconds: float) -> str:
    """A time.

    >>> spoken(0.2), spoken(75), spoken(3 * 3600 + 20 * 60), spoken(50 * 3600)
    ('below 1 s', '1 min 15 s', '3 h 20 min', '2 d 2 h')
    """
    rest = round(seconds)
    found: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or found:
            found.append(f"{count} {name}" if count else "")
    return " ".join(filter(None, found[:2])) or "below 1 s"


def counted(number: int, what: str) -> str:
    """With the noun.

    >>> counted(1, "cell"), counted(0, "cell")
    ('1 cell', '0 cells')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def condensed(names: Sequence[str], most: int = 6) -> str:
    """The first of them, and how many more there are.

    >>> condensed(["a", "b", "c"], 2), condensed(["a", "b"], 2)
    ('a, b and 1 more', 'a, b')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first(rows: Sequence[str], indent: str = "  ") -> Iterator[str]:
    """The first `LONGEST` lines of a list, and how many more there are."""
    yield from (indent + row for row in rows[:LONGEST])
    if len(rows) > LONGEST:
        yield f"{indent}and {len(rows) - LONGEST} more"
