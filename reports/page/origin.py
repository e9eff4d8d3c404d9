"""Where a row's numbers come from: its manifests, and the command that computes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from bench.redaction import redacted
from bench.reports.selection import name_of
from bench.store import Manifest


def manifests(found: Sequence[Manifest]) -> list[str]:
    """Each as indented JSON, without passwords."""
    return [redacted(json.dumps(one.model_dump(), indent=2, ensure_ascii=False)) for one in found]


def options(found: Sequence[Manifest]) -> dict[str, Any]:
    """By the keys of `bench.config.Grid`, the grid of these cells, which differ in their seeds alone.

    What bench.toml says of its variants, and what training was changed by ``--epochs``, stands in the manifests.
    """
    one, name = found[0], name_of(found[0])
    of_tuning = {key: one.tuned[field] for key, field in (("tune", "trials"), ("objective", "objective")) if one.tuned}
    return {
        **{"dataset": [name.dataset], "base": [name.base], "refiner": [name.refiner]},
        **{"seed": [each.seed for each in found], "protocol": [name.protocol]},
        **({} if name.limit is None else {"limit": name.limit}),
        **of_tuning,
        **({"metric": [*one.metrics]} if one.metrics else {}),
    }


def command(found: Sequence[Manifest]) -> str:
    """``bench run`` of these cells, as `options` has them; "" where there is none."""
    words = ["bench", "run"]
    for option, value in options(found).items() if found else ():
        words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return redacted(shlex.join(words)) if found else ""
