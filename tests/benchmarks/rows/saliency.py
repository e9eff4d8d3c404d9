"""The measures of papers on salient objects, by the toolbox that they use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from bench.metrics.saliency import MaxE, MaxF, SMeasure, StretchedMae, WeightedF
from tests.benchmarks.contests import Contest, Jobs, Within
from tests.benchmarks.rows.examples import Example, Kind, example

SETTINGS: list[tuple[Kind, int]] = [("golden", 512), ("golden", 1024), ("objects", 512)]
MEASURES: dict[str, Any] = {
    "weighted F": WeightedF,
    "S-measure": SMeasure,
    "max E": MaxE,
    "max F": MaxF,
    "MAE, stretched": StretchedMae,
}


def toolbox(name: str, given: Example) -> Callable[[], Any]:
    """What the toolbox takes for an image; of a curve, from the lowest threshold."""
    import py_sod_metrics as sod

    exact, codes = given.codes / 255, 255 * given.mask.astype(np.uint8)

    def stepped(measure: Any) -> Any:
        measure.step(exact, given.mask, normalize=False)
        return measure.get_results()

    def max_f() -> Any:
        handler = sod.FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)
        return stepped(sod.FmeasureV2({"f": handler}))["f"]["dynamic"][::-1]

    def stretched() -> Any:
        measure = sod.MAE()
        measure.step(given.codes, codes)
        return measure.get_results()["mae"]

    peers = {
        "weighted F": lambda: stepped(sod.WeightedFmeasure(beta=1))["wfm"],
        "S-measure": lambda: stepped(sod.Smeasure(alpha=0.5))["sm"],
        "max E": lambda: stepped(sod.Emeasure())["em"]["curve"][::-1],
        "max F": max_f,
        "MAE, stretched": stretched,
    }
    return peers[name]


def measures(names: tuple[str, ...], kind: Kind, side: int) -> Jobs:
    """All of some measures of an image; ours is given it and its copy in turn."""
    given = example(kind, side)
    peers, ours = [toolbox(name, given) for name in names], [MEASURES[name]() for name in names]
    pairs = cycle([(given.probs, given.mask), (given.probs.copy(), given.mask.copy())])

    def own() -> list[Any]:
        probs, mask = next(pairs)
        return [measure(probs, mask) for measure in ours]

    return Jobs(lambda: [peer() for peer in peers], own)


def agree(theirs: list[Any], own: list[Any]) -> None:
    for wanted, found in zip(theirs, own, strict=True):
        Within(1e-6)(wanted, found)


ROWS = [
    Contest(
        work=names[0] if len(names) == 1 else "all five measures of saliency",
        setting=f"{side}x{side}, {kind}",
        peer="PySODMetrics",
        ours=", ".join(f"bench.metrics.saliency.{MEASURES[name].__name__}" for name in names),
        prepare=partial(measures, names, kind, side),
        target=3,
        guard=2 if len(names) > 1 and kind == "objects" else None,
        agree=agree,
        agreement="to 1e-6, of a curve at each threshold",
        missed="Most of it takes the object's and the background's values out of the map, 1 ms a megapixel; of "
        "the rest half finds the levels that float32 values stand for."
        if names == ("S-measure",)
        else "",
        note="All maps as they are, in float64 for the peer; MAE as the toolbox reads 8-bit files."
        if len(names) > 1
        else "",
    )
    for names in (*((name,) for name in MEASURES), tuple(MEASURES))
    for kind, side in SETTINGS
]
