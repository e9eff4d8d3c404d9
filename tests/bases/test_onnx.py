from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bases.onnx import Onnx
from bench.contracts import Sample, UserError
from bench.metrics import iou
from bench.registry import load_dataset


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Two outputs of a 1x3xSxS input: its first channel, and twice that."""
    shape = [1, 1, "h", "w"]
    nodes = [
        helper.make_node("Split", ["x"], ["r", "g", "b"], axis=1, num_outputs=3),
        helper.make_node("Add", ["r", "r"], ["twice"]),
    ]
    graph = helper.make_graph(
        nodes,
        "first_channel",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("r", "twice")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "first.onnx")
    return tmp_path / "first.onnx"


@pytest.fixture
def sample() -> Sample:
    red = np.tile(np.linspace(0, 200, 12).astype(np.uint8), (8, 1))
    return Sample("s", np.dstack([red, red * 0, red * 0]), red > 100)


PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def test_pixels_are_divided_normalised_and_the_map_comes_back_at_its_size(network: Path, sample: Sample) -> None:
    (probs,) = Onnx(path=network, size=96, **PLAIN).predict([sample])
    assert probs.shape == (8, 12) and probs.dtype == np.float32
    np.testing.assert_allclose(probs, sample.image[..., 0] / 255, atol=0.02)
    (by_max,) = Onnx(path=network, size=96, divide="max", **PLAIN).predict([sample])
    np.testing.assert_allclose(by_max, sample.image[..., 0] / 200, atol=0.02)
    (moved,) = Onnx(path=network, size=96, mean=(0.2, 0, 0), std=(2.0, 1, 1)).predict([sample])
    np.testing.assert_allclose(moved, np.clip((sample.image[..., 0] / 255 - 0.2) / 2, 0, 1), atol=0.02)


def test_output_activation_and_stretch(network: Path, sample: Sample) -> None:
    red = sample.image[..., 0] / 255
    (sigmoid,) = Onnx(path=network, size=96, output=1, activation="sigmoid", **PLAIN).predict([sample])
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-2 * red)), atol=0.02)
    (stretched,) = Onnx(path=network, size=96, stretch=True, **PLAIN).predict([sample])
    np.testing.assert_allclose(stretched, red / red.max(), atol=0.02)


@pytest.mark.parametrize(("options", "says"), [({}, "size"), ({"size": 32, "output": 5}, "no output 5")])
def test_what_does_not_fit_is_said(network: Path, sample: Sample, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Onnx(path=network, **options).predict([sample])


def test_a_file_that_is_no_network(tmp_path: Path, sample: Sample) -> None:
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"no\.onnx"):
        Onnx(path=tmp_path / "no.onnx").predict([sample])


def test_a_real_saliency_network(shared: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(data))
    test = load_dataset("ecssd").split("test")
    samples = [test[index] for index in range(4)]
    base = Onnx(path=shared / "weights" / "u2netp.onnx", divide="max", stretch=True)
    ious = [iou(probs, sample.mask) for probs, sample in zip(base.predict(samples), samples, strict=True)]
    assert np.mean(ious) > 0.6  # 0.85 over the whole set; a wrong colour order or scale falls far below
