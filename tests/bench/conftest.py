"""Small real inputs: an image folder, maps, and a plug-in installed the way a user's package would be."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.images import write_map

PLUGINS = '''
import os
import time

import numpy as np

from bench.contracts import BaseNetwork, Refiner


class Half(Refiner):
    """Halves the map, or does as badly as it is told."""

    def __init__(self, *, wrong: str = "nothing"):
        self.wrong = wrong

    def fit(self, val, workdir):
        raise AssertionError("not trainable")

    def refine(self, images, maps):
        if self.wrong == "raises":
            raise ZeroDivisionError("a defect of the plug-in")
        if self.wrong == "shape":
            return [probs[1:] for probs in maps]
        if self.wrong == "nan":
            return [np.full_like(probs, np.nan) for probs in maps]
        if self.wrong == "dies":
            os._exit(9)
        if self.wrong == "dawdles":
            time.sleep(0.5)
        return [probs / 2 for probs in maps]


class Counting(BaseNetwork):
    """A base whose maps say how many samples it was trained on, in hundredths, and tuned on, in thousandths."""

    trainable = True

    def __init__(self, *, unused: int = 0):
        self.level = 0.0

    def fit(self, train, val, workdir):
        ids = {*train.ids, *val.ids}
        assert len(ids) == len(train) + len(val) and {train[n].id for n in range(len(train))} == set(train.ids)
        self.level = len(train) / 100 + len(val) / 1000

    def predict(self, samples):
        return [np.full(sample.mask.shape, self.level, np.float32) for sample in samples]


class Weightless(Half):
    """Cannot be made here."""

    def __init__(self):
        raise OSError("its weights are not here")


class Needy(Half):
    """Needs what nobody has."""

    requires, extra = ("a_module_nobody_has",), "densecrf"
'''


@dataclass(frozen=True)
class Toy:
    """A dataset of ten 24x20 images with a bright disc each, and a base's maps of them."""

    images: Path
    masks: Path
    maps: Path

    @property
    def dataset(self) -> str:
        return f"folder[images={self.images},masks={self.masks}]"

    @property
    def base(self) -> str:
        return f"maps[path={self.maps}]"


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    toy = Toy(tmp_path / "images", tmp_path / "masks", tmp_path / "maps")
    for folder in (toy.images, toy.masks):
        folder.mkdir()
    draw = np.random.default_rng(3)
    rows, columns = np.mgrid[:24, :20]
    for number in range(10):
        centre = draw.uniform(6, 14, 2)
        mask = np.hypot(rows - centre[0], columns - centre[1]) < 5
        noise = draw.normal(0, 0.15, mask.shape)
        image = np.clip(mask * 120 + 60 + noise * 200, 0, 255).astype(np.uint8)
        Image.fromarray(np.dstack([image] * 3)).save(toy.images / f"disc{number}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(toy.masks / f"disc{number}.png")
        # Under-confident: the best threshold lies near 0.3.
        write_map(toy.maps / f"disc{number}.png", np.clip(mask * 0.45 + 0.1 + noise, 0, 1).astype(np.float32))
    return toy


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refiners ``half``, ``weightless``, ``needy`` and ``broken``, whose import fails; base ``counting``; installed."""
    install(
        tmp_path / "site",
        "toy_plugins",
        PLUGINS,
        "[bench.refiners]\nhalf = toy_plugins:Half\nneedy = toy_plugins:Needy\n"
        "weightless = toy_plugins:Weightless\nbroken = toy_broken:Broken\n"
        "[bench.bases]\ncounting = toy_plugins:Counting\n",
        monkeypatch,
    )
    (tmp_path / "site" / "toy_broken.py").write_text("raise RuntimeError('written in a hurry')\n")


def install(site: Path, module: str, source: str, entry_points: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay out what ``pip install`` would for a package of one module, in a folder that is then on the path."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    (site / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, module, raising=False)  # of an earlier test, in another folder
