from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.bases.adapters.maps import Maps
from bench.contracts import SPLITS
from bench.metrics import iou
from bench.registry import load_dataset


def test_pranets_maps_of_kvasir(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the data's README says of them: 100 maps, mean IoU 0.843, seven under 0.5."""
    monkeypatch.setenv("BENCH_DATA", str(data))
    base = Maps(path=data / "maps" / "kvasir-pranet", missing="drop")
    ious = []
    for name in SPLITS:
        split = load_dataset("kvasir").split(name)
        covered = set(base.covered(split.ids))
        for index in (number for number, sample_id in enumerate(split.ids) if sample_id in covered):
            sample = split[index]
            ious.append(iou(base.predict([sample])[0], sample.mask))
    assert len(ious) == 100 and sum(value < 0.5 for value in ious) == 7
    assert np.mean(ious) == pytest.approx(0.843, abs=5e-4)
