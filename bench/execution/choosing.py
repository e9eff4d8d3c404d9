"""Which images of a cell ``--keep-maps`` keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.datasets.splits import drawn
from bench.store.kept import ALL, RULES

_FIRST = ("worst", "best", "median", "random")
"""Who gets one more image where a number cannot be shared out evenly."""


def chosen(keep: str, ids: Sequence[str], gains: NDArray[np.float64] | None) -> dict[str, tuple[str, ...]]:
    """Id -> by which of `bench.store.kept.RULES`, in the order of ``ids``; an image may be chosen by several.

    Args:
        keep: see `bench.config.Grid`: ``"20"``, ``"worst:20"`` or ``"all"``.
        ids: of the cell's images.
        gains: of each, in IoU over the base's own map; NaN ones are drawn at best. None for the base's own row, of
            which the random sample alone is kept.

    >>> import numpy as np
    >>> chosen("4", "abcde", np.array([0.1, -0.2, 0.3, 0.0, 0.05]))
    {'a': ('random',), 'b': ('worst',), 'c': ('best',), 'e': ('median',)}
    """
    if keep == ALL:
        return {sample_id: (ALL,) for sample_id in ids}
    found = {"random": set(drawn(ids, _shares(keep)["random"]))}
    if gains is not None:
        defined = np.flatnonzero(~np.isnan(gains))
        from_median = np.abs(gains - np.median(gains[defined])) if defined.size else gains
        for rule, order in (("best", -gains), ("median", from_median), ("worst", gains)):
            # Stable: of equal gains the first images.
            places = defined[np.argsort(order[defined], kind="stable")][: _shares(keep)[rule]]
            found[rule] = {ids[place] for place in places}
    why = {sample_id: tuple(rule for rule in RULES if sample_id in found.get(rule, ())) for sample_id in ids}
    return {sample_id: rules for sample_id, rules in why.items() if rules}


def _shares(keep: str) -> dict[str, int]:
    rule, _, number = keep.rpartition(":")
    count = int(number)
    if rule:
        return {one: count if one == rule else 0 for one in RULES}
    return {one: count // len(RULES) + (place < count % len(RULES)) for place, one in enumerate(_FIRST)}
