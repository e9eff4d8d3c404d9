"""``bench export``: an ONNX file that computes what the network does, for a batch of any size."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bench
from bench.cli import main
from bench.contracts import UserError
from bench.images import read_map, resize
from bench.refiners.prn.network import PrnNetwork
from bench.registry import load_refiner
from bench.training import export_onnx, save_weights, seeded
from tests.bench.conftest import Toy
from tests.bench.trained import Times, install

onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install refinebench[onnx]")
pytest.importorskip("onnxscript", reason="needs pip install refinebench[onnx]")


class TwoByTwo(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, image: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
        mixed = self.mix(torch.cat([image, probs], dim=1))
        return mixed.sigmoid(), mixed.mean(dim=(1, 2, 3))


class Whole(nn.Module):
    """PRN's network as it is used: the mean of what its branches say."""

    def __init__(self) -> None:
        super().__init__()
        self.network = PrnNetwork(size=64, patch=16, width=8)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.stack([logits.sigmoid() for logits in self.network(maps)]).mean(dim=0)


class Counting(nn.Module):
    """Says something else at every call, which no file can."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, maps: Tensor) -> Tensor:
        self.calls += 1
        return maps + self.calls


def run(path: Path, outputs: Sequence[str] | None = None, **given: Tensor) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(outputs, {name: value.numpy() for name, value in given.items()})


@pytest.fixture(scope="module")
def prn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Whole, Path]:
    """A network whose batch norm has seen maps, so that its blocks do something, and its file."""
    with seeded(0):
        network = Whole()
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.uniform_(0.5, 1.5)
                    module.momentum = None  # the one batch's own statistics
            network(torch.rand(4, 1, 64, 64))
    network.to(memory_format=torch.channels_last).eval()
    path = tmp_path_factory.mktemp("prn") / "prn.onnx"
    export_onnx(network, {"map": torch.rand(1, 1, 64, 64)}, ["refined"], path)
    return network, path


def agree(network: nn.Module, path: Path, maps: Tensor) -> None:
    with torch.no_grad():
        expected = network(maps).numpy()
    (found,) = run(path, ["refined"], map=maps)
    assert found.shape == tuple(maps.shape) and found.dtype == np.float32
    assert expected.std() > 0.03  # a constant would agree with anything
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_prn_agrees_on_random_maps(prn: tuple[Whole, Path], batch: int) -> None:
    agree(*prn, torch.rand(batch, 1, 64, 64, generator=torch.Generator().manual_seed(batch)))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_prn_agrees_on_real_maps(prn: tuple[Whole, Path], data: Path, batch: int) -> None:
    files = sorted((data / "maps" / "kvasir-pranet").glob("*.png"))[:batch]
    maps = np.stack([np.clip(resize(read_map(file), 64, 64), 0, 1)[None] for file in files])
    agree(*prn, torch.from_numpy(maps))


def test_the_file_stands_alone_and_tells_nothing_of_this_machine(prn: tuple[Whole, Path]) -> None:
    _, path = prn
    assert [file.name for file in path.parent.iterdir()] == ["prn.onnx"]
    content = path.read_bytes()
    for part in (b"site-packages", b"network.py", b"stack_trace", str(Path(__file__).parent).encode()):
        assert part not in content


def test_several_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    with seeded(0):
        network = TwoByTwo().eval()
    path = tmp_path / "new" / "two.onnx"
    examples = {"image": torch.zeros(1, 3, 6, 8), "map": torch.zeros(1, 1, 6, 8)}
    export_onnx(network, examples, ["refined", "level"], path)
    image, probs = torch.rand(7, 3, 6, 8), torch.rand(7, 1, 6, 8)
    with torch.no_grad():
        expected = network(image, probs)
    level, refined = run(path, ["level", "refined"], image=image, map=probs)
    np.testing.assert_allclose(refined, expected[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(level, expected[1].numpy(), atol=1e-4)


def test_a_file_that_computes_something_else_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "counting.onnx"
    path.write_bytes(b"an older file")
    with pytest.raises(RuntimeError, match=r"'refined' is .* off the network's at a batch of"):
        export_onnx(Counting().eval(), {"map": torch.zeros(1, 1, 4, 4)}, ["refined"], path)
    assert path.read_bytes() == b"an older file"
    assert [file.name for file in tmp_path.iterdir()] == ["counting.onnx"]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    install(tmp_path / "more", monkeypatch)
    path = tmp_path / "weights.safetensors"
    save_weights(Times(0.25), path)
    return path


def test_the_command_writes_the_trained_network_and_says_only_where(
    weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--refiner", "scale", "--checkpoint", str(weights), "--onnx", "made/scale.onnx"]) == 0
    assert capfd.readouterr() == ("made/scale.onnx\n", "")
    maps = torch.rand(5, 1, 4, 4)
    np.testing.assert_allclose(run(Path("made/scale.onnx"), map=maps)[0], 0.25 * maps.numpy(), atol=1e-6)


def test_python_does_the_same(weights: Path) -> None:
    bench.export(refiner=f"scale[weights={weights}]", onnx=Path("scale.onnx"))
    assert Path("scale.onnx").is_file()


@pytest.mark.parametrize(
    ("refiner", "more", "says"),
    [
        ("scale", [], ["scale is not trained", "bench run"]),
        ("stubborn", ["--checkpoint", "weights.safetensors"], ["stubborn", "cannot be written as ONNX"]),
        ("densecrf", [], ["densecrf", "cannot be written as ONNX"]),
        ("densecrf", ["--checkpoint", "weights.safetensors"], ["takes no checkpoint"]),
        ("scale", ["--checkpoint", "absent"], ["absent", "--checkpoint"]),
        ("scale", ["--checkpoint", "other.safetensors"], ["weights of another network", "other.safetensors"]),
        ("scale", ["--checkpoint", "weights.safetensors", "--onnx", "weights.safetensors/a.onnx"], ["--onnx"]),
        ("scale", ["--checkpoint", "weights.safetensors", "--onnx", "more"], ["a folder", "more", "--onnx"]),
    ],
)
def test_a_wrong_input_gets_one_line_and_exit_code_2(
    weights: Path, capfd: pytest.CaptureFixture[str], refiner: str, more: list[str], says: list[str]
) -> None:
    save_weights(nn.Linear(2, 2), Path("other.safetensors"))
    before = sorted(Path().rglob("*"))
    assert main(["export", "--refiner", refiner, "--onnx", "made/file.onnx", *more]) == 2
    out, err = capfd.readouterr()
    assert err.startswith("bench: error: ") and err.count("\n") == 1 and err.endswith("\n")
    for part in says:
        assert part in err
    assert out == ""
    assert sorted(Path().rglob("*")) == before


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(UserError, match=r"pip install refinebench\[onnx\]"):
        export_onnx(Times(), {"map": torch.zeros(1, 1, 4, 4)}, ["refined"], tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_trained_prn_is_refined_with_and_exported(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = bench.run(
        dataset=[toy.dataset], base=[toy.base], refiner=["prn[size=32,epochs=1]"], device="cpu", store="store"
    )
    (weights,) = Path("store/refiners").glob("*/weights.safetensors")

    # What the run measured on the test images is what the command writes for them.
    (manifest,) = [cell.manifest for cell in result.cells if cell.manifest.refiner.startswith("prn")]
    options: dict[str, Any] = {"images": toy.images, "maps": toy.maps, "checkpoint": weights, "device": "cpu"}
    assert bench.refine(refiner="prn", out=Path("out"), **options) == 10
    scores = bench.score(toy.masks, Path("out")).set_index("id")
    records = result.store.records(manifest).set_index("id")
    for column in ("iou", "boundary_iou", "mae"):
        np.testing.assert_allclose(scores.loc[records.index, column], records[column], atol=2e-5)

    bench.export(refiner="prn", checkpoint=weights, onnx=Path("prn.onnx"))
    maps = [resize(read_map(file), 32, 32) for file in sorted(toy.maps.iterdir())[:3]]
    images = [np.zeros((32, 32, 3), np.uint8)] * 3
    expected = load_refiner(f"prn[weights={weights}]").refine(images, maps)
    (found,) = run(Path("prn.onnx"), ["refined"], map=torch.from_numpy(np.stack(maps)[:, None]))
    np.testing.assert_allclose(found[:, 0], np.stack(expected), atol=1e-4)
