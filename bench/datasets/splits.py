"""The one splitter: what the paper does to every list of ids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from sklearn.model_selection import train_test_split

T = TypeVar("T")

HELD_OUT = 0.2
RANDOM_STATE = 29


def split_off(items: Sequence[T], held_out: float = HELD_OUT) -> tuple[list[T], list[T]]:
    """Split ``items`` into (rest, held out) as scikit-learn does with ``test_size=held_out, random_state=29``.

    Both parts come in scikit-learn's shuffled order, and the paper's second cut is made of that order: so
    sort the ids before the first cut and leave them alone afterwards. Any length is allowed: of no item or
    of one, nothing is held out. The paper's released code splits this way.

    Args:
        items: in a fixed order; sorted by file name where they come from a folder.
        held_out: fraction in [0, 1]; the number of items is rounded up.

    Returns:
        Two lists that together hold each item once.

    >>> rest, held_out = split_off(range(5019))
    >>> len(rest), len(held_out)
    (4015, 1004)
    """
    count = math.ceil(held_out * len(items))
    if count == 0 or (len(items) == 1 and held_out < 1):
        return list(items), []
    if count >= len(items):
        return [], list(items)
    rest, held = train_test_split(list(items), test_size=count, random_state=RANDOM_STATE)
    return rest, held
