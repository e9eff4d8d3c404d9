"""Which of the stored cells a report shows, and under which names: the newest finished one of each."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, NamedTuple

from bench.store import LAYOUT, Manifest, VariantName

Kind = Literal["dataset", "base", "refiner"]
KINDS: tuple[Kind, ...] = ("dataset", "base", "refiner")


class Name(NamedTuple):
    """What a cell is known by, paths in full. Two cells of one name differ in key where data or parameters changed.

    Cells of different layouts never share one: what an earlier version stored stays apart.
    """

    layout: int
    dataset: str
    limit: int | None
    drawn: bool
    protocol: str
    rules: str
    base: str
    refiner: str
    seed: int


class Place(NamedTuple):
    """Which table a cell stands in: cells that differ in any of these are never in one."""

    dataset: str
    limit: int | None
    drawn: bool
    layout: int
    rules: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Selected:
    """The cell to show under a name.

    Attributes:
        manifest: the newest finished one; where none is finished, the newest of all.
        dataset, base, refiner: as the report calls them, see `told_apart`.
        superseded: number of finished cells of the same name that it replaces.
        newer: an unfinished cell of the same name that was written after ``manifest``, if any.
        damaged: it was finished, and its records cannot be read; ``manifest`` says that it failed.
    """

    manifest: Manifest
    dataset: str
    base: str
    refiner: str
    superseded: int = 0
    newer: Manifest | None = None
    damaged: bool = False

    @property
    def place(self) -> Place:
        """The table that it stands in."""
        one = self.manifest
        return Place(self.dataset, one.limit, one.drawn, one.layout, one.rules, one.protocol)


CellsOfRows = Mapping[tuple[Place, str, str], Sequence[Selected]]
"""By table, base and refiner, as a report calls them."""


def cells_of_rows(cells: Iterable[Selected]) -> CellsOfRows:
    """The cells of each row in their order; none of a row that has none."""
    found: dict[tuple[Place, str, str], list[Selected]] = defaultdict(list)
    for cell in cells:
        found[cell.place, cell.base, cell.refiner].append(cell)
    return found


def latest(manifests: Iterable[Manifest]) -> list[Selected]:
    """One cell for each name, in the order of their places in the grid."""
    named: dict[Name, list[Manifest]] = defaultdict(list)
    for manifest in manifests:
        named[name_of(manifest)].append(manifest)
    shown = [_choose(group) for group in named.values()]
    called = {kind: told_apart(_variant(manifest, kind) for manifest, _, _ in shown) for kind in KINDS}
    cells = []
    for manifest, superseded, newer in shown:
        dataset, base, refiner = (called[kind][_in_full(_variant(manifest, kind))] for kind in KINDS)
        cells.append(Selected(manifest, dataset, base, refiner, superseded, newer))
    return sorted(cells, key=_place)


def select(stored: Sequence[Manifest], baseline: str, keep: Callable[[Manifest], bool] | None = None) -> list[Selected]:
    """The cells of a store that ``keep`` lets through, one for each name; none where it lets none through.

    Finished cells of the baseline come along where a kept one can be compared with them: without them,
    ``bench run --refiner prn`` would have no gain to show though the store knows the base's own numbers.
    """
    kept = [manifest for manifest in stored if keep is None or keep(manifest)]
    keys = {manifest.key for manifest in kept}
    others = [
        manifest
        for manifest in stored
        if manifest.refiner == baseline and manifest.status == "done" and manifest.key not in keys
    ]
    wanted = {compared_by(manifest) for manifest in kept} if others else set()
    return latest([*kept, *(other for other in others if compared_by(other) in wanted)])


def comparable(one: Manifest, other: Manifest) -> bool:
    """Whether both refine the same maps of the same images: only then their records pair up."""
    return compared_by(one) == compared_by(other)


def compared_by(manifest: Manifest) -> tuple[Name, str]:
    """The same of two that are `comparable`."""
    return name_of(manifest)._replace(refiner=""), maps_of(manifest)


def maps_of(manifest: Manifest) -> str:
    """Which maps of which images it refines, and by which version of the metrics they were scored."""
    return json.dumps([manifest.identity.get(part) for part in ("base", "test", "metrics")], sort_keys=True)


def titles(places: Collection[Place]) -> dict[Place, str]:
    """What their tables are headed by: the dataset, and of the rest what tells them apart."""
    but_protocol = Counter(place._replace(protocol="") for place in places)
    several = len({place.rules for place in places}) > 1
    found = {}
    for place in places:
        # A run of an earlier version took the first ones.
        part = "a random sample of" if place.drawn else "first"
        title = place.dataset if place.limit is None else f"{place.dataset} ({part} {place.limit})"
        if place.layout != LAYOUT:
            title += ", earlier version"
        if several:
            title += f", {place.rules}"
        if but_protocol[place._replace(protocol="")] > 1:
            title += f", protocol {place.protocol}"
        found[place] = title
    return found


def told_apart(names: Iterable[VariantName]) -> dict[str, str]:
    """Name with its paths in full -> what a report calls it: of a path the last part.

    Where two names would read alike, as many last parts as tell their paths apart.

    >>> one, two = (VariantName(name="maps", parameters={"path": "m"}, paths={"path": f"/x/{a}/m"}) for a in "ab")
    >>> list(told_apart([one, two]).values()), list(told_apart([one]).values())
    (['maps[path=a/m]', 'maps[path=b/m]'], ['maps[path=m]'])
    """
    alike: dict[str, dict[str, VariantName]] = defaultdict(dict)
    for name in names:
        alike[name.label()][_in_full(name)] = name
    found: dict[str, str] = {}
    for group in alike.values():
        keys = {key for name in group.values() for key in name.all_paths}
        parts = {key: _parts_apart({name.all_paths.get(key, "") for name in group.values()}) for key in keys}
        found |= {full: name.label(parts) for full, name in group.items()}
    return found


def _parts_apart(paths: set[str]) -> int:
    """How many last parts of each path differ from those of all the others."""
    split = {PurePath(path).parts for path in paths}
    count = 1
    while len({parts[-count:] for parts in split}) < len(split):
        count += 1
    return count


def _in_full(name: VariantName) -> str:
    return name.label({key: len(PurePath(path).parts) for key, path in name.all_paths.items()})


def _variant(manifest: Manifest, kind: Kind) -> VariantName:
    """The variant's name; all that layout 1 has of it is its label."""
    return manifest.names.get(kind) or VariantName(name=getattr(manifest, kind))


def name_of(manifest: Manifest) -> Name:
    """What the cell is known by."""
    dataset, base, refiner = (_in_full(_variant(manifest, kind)) for kind in KINDS)
    limit = manifest.limit, manifest.drawn
    return Name(manifest.layout, dataset, *limit, manifest.protocol, manifest.rules, base, refiner, manifest.seed)


def _place(cell: Selected) -> tuple[int, str, str, str, int]:
    return cell.manifest.position, cell.dataset, cell.base, cell.refiner, cell.manifest.seed


def _choose(manifests: Sequence[Manifest]) -> tuple[Manifest, int, Manifest | None]:
    """Which is shown, how many finished ones it supersedes, and an unfinished one that is newer."""
    # Clocks of several machines do not agree, and one may be set back: the generation comes first.
    newest = max(manifests, key=_age)
    finished = [manifest for manifest in manifests if manifest.status == "done"]
    if not finished:
        return newest, 0, None
    shown = max(finished, key=_age)
    return shown, len(finished) - 1, newest if _age(newest) > _age(shown) else None


def _age(manifest: Manifest) -> tuple[int, str]:
    return manifest.generation, manifest.written
