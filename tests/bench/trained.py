"""Refiners with weights, as a user's package would install them: ``scale``, ``stubborn`` and ``oracle``."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import Image, MapDataset, ProbabilityMap, Refiner
from bench.training import export_onnx, load_weights


class Times(nn.Module):
    """One number, and the map times that number."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.factor


class Scale(Refiner):
    """Multiplies the map by its one weight. Fails at the map that ``dies_at`` numbers."""

    seen: ClassVar[list[weakref.ref[Any]]] = []

    def __init__(self, *, weights: Path | None = None, dies_at: int = -1) -> None:
        self.network, self.trainable, self.left = Times(), weights is None, dies_at
        if weights is not None:
            load_weights(self.network, weights)

    def fit(self, val: MapDataset, workdir: Path) -> None:
        raise AssertionError("nobody trains it here")

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        assert len(images) == len(maps) == 1
        assert all(reference() is None for reference in self.seen), "earlier images are still in memory"
        self.seen[:] = [weakref.ref(images[0]), weakref.ref(maps[0])]
        self.left -= 1
        if self.left == -1:
            raise ZeroDivisionError("a defect of the plug-in")
        return [(probs * np.float32(self.network.factor.item())).astype(np.float32) for probs in maps]


class Exportable(Scale):
    """Can be written as ONNX."""

    def export_onnx(self, path: Path) -> None:
        export_onnx(self.network, {"map": torch.zeros(1, 1, 4, 4)}, ["refined"], path)


class Oracle(Scale):
    """Looks at the masks."""

    uses_ground_truth = True


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the refiners of this module behind real entry points."""
    info = folder / "trained_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trained-plugins\nVersion: 1.0\n")
    here = __name__
    (info / "entry_points.txt").write_text(
        f"[bench.refiners]\nstubborn = {here}:Scale\nscale = {here}:Exportable\noracle = {here}:Oracle\n"
    )
    monkeypatch.syspath_prepend(str(folder))
