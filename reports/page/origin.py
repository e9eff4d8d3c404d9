"""Where a row's numbers come from: its manifests, and the command that computes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from bench.redaction import redacted
from bench.reports.selection import name_of
from bench.store import Manifest


def manifests(found: Sequence[Manifest]) -> list[str]:
    """Each as indented JSON, without passwords."""
    return [redacted(json.dumps(one.model_dump(), indent=2, ensure_ascii=False)) for one in found]


def command(found: Sequence[Manifest]) -> str:
    """``bench run`` of these cells, which differ in their seeds alone; "" where there is none.

    What bench.toml says of its variants, and what training was changed by ``--epochs``, stands in the manifests.
    """
    if not found:
        return ""
    one, name = found[0], name_of(found[0])
    words = ["bench", "run", "--dataset", name.dataset, "--base", name.base, "--refiner", name.refiner]
    words += ["--seed", *(str(each.seed) for each in found), "--protocol", name.protocol]
    if name.limit is not None:
        words += ["--limit", str(name.limit)]
    if one.tuned:
        words += ["--tune", str(one.tuned["trials"]), "--objective", str(one.tuned["objective"])]
    if one.metrics:
        words += ["--metric", *one.metrics]
    return redacted(shlex.join(words))
