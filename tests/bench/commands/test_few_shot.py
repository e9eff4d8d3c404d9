"""A run on few-shot data records which labelled samples each query was answered from; others make another run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench
from bench.commands.run import RunResult
from bench.datasets.fss1000 import held_out_classes


def write_class(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(1, 5):
        draw = np.random.default_rng(number)
        Image.fromarray(draw.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(folder / f"{number}.jpg")
        mask = np.zeros((224, 224, 3), np.uint8)
        mask[:, : 40 * number] = 255
        Image.fromarray(mask).save(folder / f"{number}.png")


@pytest.mark.usefixtures("plugins")
@pytest.mark.slow
def test_the_assignment_is_written_beside_the_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    val, test = held_out_classes()
    root = tmp_path / "fewshot"
    for name in ("zebra", val[0], test[0], test[1]):
        write_class(root / name)
    (tmp_path / "bench.toml").write_text(f'[datasets]\nfss1000 = "{root}"\n')

    def run(shots: int) -> RunResult:
        return bench.run(
            dataset=[f"fss1000[shots={shots}]"], base=["counting"], refiner=["threshold"], device="cpu", engine="inline"
        )

    result = run(3)
    recorded = [json.loads(path.read_text()) for path in episodes_of(result)]
    found = {name: episode for record in recorded for name, episode in record["episodes"].items()}
    assert found == {
        name: {"support": [f"{name}/{n}" for n in (1, 2, 3)], "query": [f"{name}/4"]}
        for name in (val[0], test[0], test[1])
    }
    others = run(2)
    assert {cell.manifest.key for cell in result.cells}.isdisjoint(cell.manifest.key for cell in others.cells)
    hashes = {json.loads(p.read_text())["hash"] for p in episodes_of(others)}
    assert len(hashes) == 4  # val and test, under either assignment


def episodes_of(result: RunResult) -> list[Path]:
    return list(Path(result.store.address).glob("bases/*/maps-*/episodes.json"))
