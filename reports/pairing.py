"""Which cells of two stores are the same one, computed twice; what must not be compared is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from bench.contracts import UserError
from bench.reports.selection import Selected, name_of

_NAMED = {
    "rules": "the rules of the benchmark",
    "protocol": "the protocol",
    "limit": "the limit",
    "drawn": "how a limit takes its samples",
    "layout": "the layout of the store",
}
"""Parts of a cell's name without which two cells are of different experiments."""

_IDENTITY = {"test": "the test images", "metrics": "the version of the metrics"}
"""The same in the identity: fingerprint and number."""

_FIX = "compare stores that were run alike, or name an --experiment whose cells were"


@dataclass(frozen=True)
class Pairing:
    """Cells of two stores, A and B, in the order of the first.

    Attributes:
        pairs: those that both know, finished or not.
        before, after: those that A, or B, alone knows.
    """

    pairs: tuple[tuple[Selected, Selected], ...]
    before: tuple[Selected, ...]
    after: tuple[Selected, ...]


def paired(before: Sequence[Selected], after: Sequence[Selected]) -> Pairing:
    """Cells of one name belong together: first by the paths in full, then by what the reports of the stores call them.

    So the maps of two folders, or a dataset that was moved, are compared where each store has but one such.

    Raises:
        UserError: two cells that belong together are of different protocols, limits, layouts, test images or versions
            of the metrics.
    """
    exact, left, right = _matched(before, after, lambda cell: name_of(cell.manifest))
    called, left, right = _matched(left, right, _called)
    alike: dict[tuple[Hashable, ...], list[Selected]] = defaultdict(list)
    for other in right:
        alike[_bare(other)].append(other)
    for one in left:
        for other in alike[_bare(one)]:
            _refuse_names(one, other)
    for one, other in (*exact, *called):
        _refuse_identities(one, other)
    place = {id(cell): index for index, cell in enumerate(before)}
    pairs = sorted((*exact, *called), key=lambda pair: place[id(pair[0])])
    return Pairing(tuple(pairs), tuple(left), tuple(right))


def _matched(
    before: Sequence[Selected], after: Sequence[Selected], key: Callable[[Selected], Hashable]
) -> tuple[list[tuple[Selected, Selected]], list[Selected], list[Selected]]:
    """The pairs of equal keys, and the rest of either side."""
    others = {key(cell): cell for cell in after}
    pairs = [(cell, others[own]) for cell in before if (own := key(cell)) in others]
    found = {id(cell) for pair in pairs for cell in pair}
    left, right = ([cell for cell in side if id(cell) not in found] for side in (before, after))
    return pairs, left, right


def _bare(cell: Selected) -> tuple[Hashable, ...]:
    return cell.dataset, cell.base, cell.refiner, cell.manifest.seed


def _called(cell: Selected) -> tuple[Hashable, ...]:
    return *_bare(cell), *(getattr(cell.manifest, part) for part in _NAMED)


def _refuse_names(one: Selected, other: Selected) -> None:
    for part, said in _NAMED.items():
        own, its = (getattr(cell.manifest, part) for cell in (one, other))
        if own != its:
            raise _refused(said, own, its, one)


def _refuse_identities(one: Selected, other: Selected) -> None:
    for part, said in _IDENTITY.items():
        own, its = (cell.manifest.identity.get(part) for cell in (one, other))
        if own != its:
            raise _refused(said, own, its, one)


def _refused(said: str, own: object, its: object, cell: Selected) -> UserError:
    return UserError(f"not comparable, {said}: {_shown(own)} in A, {_shown(its)} in B", cell.manifest.title, _FIX)


def _shown(value: object) -> str:
    return "none" if value is None else str(value)[:16]  # enough of a fingerprint
