"""The one splitter: what the paper does to every list of ids; and the one sampler, for ``--limit``."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

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
    # Its train_test_split, which takes 100 MB and a second to import: NumPy keeps what this generator draws.
    shuffled = [items[place] for place in np.random.RandomState(RANDOM_STATE).permutation(len(items))]
    return shuffled[count:], shuffled[:count]


def drawn(ids: Sequence[str], count: int, classes: Mapping[str, str] | None = None) -> list[str]:
    """A random sample of ``count`` ids, in the order of ``ids``; all of them where there are no more.

    Which ids it holds depends on the ids alone, not on their order, the machine or a run's seed. It is nested: that of
    a larger count holds that of a smaller one.

    Args:
        ids: unique.
        count: 0 or more.
        classes: id -> its class, of few-shot data: whole classes are drawn, and of the last one a part. An episode
            learns from several pairs of a class, and what a support costs is shared by the queries of its class.

    >>> drawn("abcdefgh", 3), drawn("abcdefgh", 4), drawn("hgfedcba", 3)
    (['a', 'b', 'd'], ['a', 'b', 'd', 'g'], ['d', 'b', 'a'])
    """
    of = classes or {}
    ranked = sorted(ids, key=lambda sample_id: (_lot(of.get(sample_id, "")), _lot(sample_id)))
    chosen = set(ranked[:count])
    return [sample_id for sample_id in ids if sample_id in chosen]


def _lot(text: str) -> tuple[bytes, str]:
    """What decides the place in a draw: a keyed hash, the same for both Unicode forms of a file name."""
    text = unicodedata.normalize("NFC", text)
    key = str(RANDOM_STATE).encode()
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16, key=key).digest(), text
