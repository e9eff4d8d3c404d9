"""What a reader has to know about one row: how its parameters were found, and what its weights saw before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bench.store import Manifest


def contaminated(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """The image sets that the test images are of and that public weights in use were trained on."""
    return tuple(dict.fromkeys(name for manifest in manifests for name in manifest.contaminated))


def contamination(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """Whose weights saw them, as a sentence; none where nothing is known."""
    sets = contaminated(manifests)
    if not sets:
        return ()
    owners = sorted({owner for manifest in manifests for owner in manifest.contaminated_by})
    whose = " and ".join(f"the {owner}" for owner in owners)
    return (f"not clean: the public weights of {whose} were trained on {', '.join(sets)}, which is tested on",)


def remarks(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """What makes the numbers mean little, each remark once."""
    return tuple(dict.fromkeys(remark for manifest in manifests for remark in manifest.remarks))


def tuning(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """What tuning found, once for the seeds that it found the same for."""
    seeds: dict[str, list[int]] = defaultdict(list)
    for manifest in manifests:
        if manifest.tuned:
            seeds[_tuned(manifest.tuned)].append(manifest.seed)
        for called, found in manifest.tuned_inside.items():
            seeds[f"{called}: {_tuned(found)}"].append(manifest.seed)
    every = {seed for which in seeds.values() for seed in which}
    told = {text: f"seed {', '.join(map(str, sorted(which)))} " for text, which in seeds.items() if {*which} != every}
    return tuple(told.get(text, "") + text for text in seeds)


def _tuned(tuned: dict[str, Any]) -> str:
    parameters = ", ".join(f"{name}={_short(value)}" for name, value in tuned["parameters"].items())
    val = f"val {tuned['score'] * 100:.1f} (defaults {tuned['default_score'] * 100:.1f})"
    return f"tuned on val, {tuned['trials']} trials of {tuned['objective']}: {parameters}; {val}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
