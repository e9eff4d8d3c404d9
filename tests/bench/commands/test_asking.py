"""Refiners that ask the base for maps of other images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bench
from bench.cli import main
from bench.images import read_mask
from bench.registry import load_dataset
from bench.store import Store
from tests.bench.conftest import Toy, install

SLOPE = '''
import numpy as np

from bench.contracts import BaseNetwork


class Slope(BaseNetwork):
    """Rises from left to right, whatever the image shows; has to be fitted before it predicts."""

    trainable = True

    def __init__(self):
        self.fitted = False

    def fit(self, train, val, workdir):
        self.fitted = True

    def predict(self, samples):
        assert self.fitted
        maps = []
        for sample in samples:
            height, width = sample.image.shape[:2]
            maps.append(np.tile(np.linspace(0.25, 0.5, width, dtype=np.float32), (height, 1)))
        return maps
'''


def test_the_base_is_asked_about_the_flipped_image(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "toy_slope", SLOPE, "[bench.bases]\nslope = toy_slope:Slope\n", monkeypatch)
    result = bench.run(
        dataset=[toy.dataset], base=["slope"], refiner=["test-time-flip"], store=tmp_path / "store", engine="inline"
    )
    cell = result.cells[-1].manifest
    assert cell.refiner == "test-time-flip"
    records = Store(tmp_path / "store").records(cell).set_index("id")
    ids = load_dataset(toy.dataset).split("test").ids
    assert list(records.index) == list(ids)
    for name in ids:
        # The rising map and the falling one average to 3/8 everywhere.
        share = float(np.mean(read_mask(toy.masks / f"{name}.png")))
        assert records["mae"][name] == pytest.approx(share * 5 / 8 + (1 - share) * 3 / 8, abs=1e-4)


def test_maps_on_disk_cannot_be_asked(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    arguments = ["--dataset", toy.dataset, "--base", toy.base, "--refiner", "test-time-flip", "--store", str(store)]
    assert main(["run", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "asks for maps of images of its own making" in line and "name a base that is a network" in line
    assert not store.exists()


def test_bench_refine_has_no_base_to_ask(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--images", str(toy.images), "--maps", str(toy.maps), "--out", str(tmp_path / "out")]
    assert main(["refine", "--refiner", "test-time-flip", *arguments]) == 2
    assert "needs the base" in capsys.readouterr().err
