from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from scipy.special import expit, softmax

from bench.bases.adapters.onnx import Onnx
from bench.config import load
from bench.contracts import Sample, UserError
from bench.metrics import iou
from bench.plugins.variants import resolve
from bench.registry import load_dataset

PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def written(path: Path, graph: str, opset: int = 18) -> Path:
    """An ONNX file of a graph in ONNX's own text form."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {graph}')
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Its first output is its input; the second, of one channel, is twice the red one."""
    graph = """(float[1, 3, h, w] x) => (float[1, 3, h, w] same, float[1, 1, h, w] twice)
    { same = Identity(x)  r, g, b = Split <axis = 1, num_outputs = 3> (x)  twice = Add(r, r) }"""
    return written(tmp_path / "net.onnx", graph)


@pytest.fixture
def sample() -> Sample:
    """Red rises along the columns, green along the rows; no blue."""
    rows, columns = np.mgrid[:8, :12]
    image = np.dstack([columns * 18, rows * 30, rows * 0]).astype(np.uint8)
    return Sample("s", image, image[..., 0] > 100)


def test_pixels_are_divided_ordered_and_normalised_and_the_map_comes_back_at_its_size(
    network: Path, sample: Sample
) -> None:
    red, green = sample.image[..., 0] / 255, sample.image[..., 1] / 255
    (probs,) = Onnx(path=network, size=96, foreground=0, **PLAIN).predict([sample])
    assert probs.shape == (8, 12) and probs.dtype == np.float32
    np.testing.assert_allclose(probs, red, atol=0.02)
    (by_max,) = Onnx(path=network, foreground=0, divide="max", **PLAIN).predict([sample])
    np.testing.assert_allclose(by_max, sample.image[..., 0] / 210, atol=1e-6)
    (raw,) = Onnx(path=network, foreground=0, divide="1", mean=(0, 0, 0), std=(510, 1, 1)).predict([sample])
    np.testing.assert_allclose(raw, red / 2, atol=1e-6)
    (moved,) = Onnx(path=network, foreground=0, mean=(-0.2, 0, 0), std=(2.0, 1, 1)).predict([sample])
    np.testing.assert_allclose(moved, (red + 0.2) / 2, atol=1e-6)
    (blue, reversed_green) = (
        Onnx(path=network, foreground=index, channels="bgr", **PLAIN).predict([sample])[0] for index in (0, 1)
    )
    np.testing.assert_array_equal(blue, np.zeros((8, 12)))
    np.testing.assert_allclose(reversed_green, green, atol=1e-6)


def test_output_foreground_activation_and_stretch(network: Path, sample: Sample) -> None:
    scaled = sample.image / np.float32(255)
    for output in ("twice", 1, "1"):
        (sigmoid,) = Onnx(path=network, output=output, activation="sigmoid", **PLAIN).predict([sample])
        np.testing.assert_allclose(sigmoid, expit(2 * scaled[..., 0]), atol=1e-6)
    (summed,) = Onnx(path=network, foreground=(0, 2), activation="softmax", **PLAIN).predict([sample])
    np.testing.assert_allclose(summed, softmax(scaled, axis=-1)[..., [0, 2]].sum(-1), atol=1e-6)
    (stretched,) = Onnx(path=network, output="twice", stretch=True, **PLAIN).predict([sample])
    np.testing.assert_allclose(stretched, scaled[..., 0] / scaled[..., 0].max(), atol=1e-6)


@pytest.mark.parametrize("opset", [9, 13, 18])
@pytest.mark.parametrize(
    "axes",
    ["1, 3, 16, 36", "n, 3, 16, 36", "n, c, h, w", "1, 3, 16, w", "1, 16, 36, 3", "n, h, w, 3"],
)
def test_layouts_sizes_and_opsets(axes: str, opset: int, tmp_path: Path, sample: Sample) -> None:
    path = written(tmp_path / "net.onnx", f"(float[{axes}] x) => (float[{axes}] y) {{ y = Relu(x) }}", opset)
    for index in (0, 1):
        (probs,) = Onnx(path=path, foreground=index, **PLAIN).predict([sample])
        np.testing.assert_allclose(probs, sample.image[..., index] / 255, atol=0.03)


def test_half_precision_and_bytes(tmp_path: Path, sample: Sample) -> None:
    half = written(tmp_path / "h.onnx", "(float16[1, 3, h, w] x) => (float16[1, 3, h, w] y) { y = Relu(x) }")
    graph = """(uint8[n, h, w, 3] x) => (float[n, h, w, 3] y)
    { t = Constant <value_float = 255.0> ()  f = Cast <to = 1> (x)  y = Div(f, t) }"""
    raw = written(tmp_path / "b.onnx", graph)
    for path, options in ((half, PLAIN), (raw, {})):
        (probs,) = Onnx(path=path, foreground=1, **options).predict([sample])
        assert probs.dtype == np.float32
        np.testing.assert_allclose(probs, sample.image[..., 1] / 255, atol=1e-3)


def test_class_numbers_are_a_map_of_the_foreground(tmp_path: Path, sample: Sample) -> None:
    graph = "(float[1, 3, h, w] x) => (int64[1, h, w] y) { y = ArgMax <axis = 1, keepdims = 0> (x) }"
    path = written(tmp_path / "net.onnx", graph)
    (probs,) = Onnx(path=path, foreground=1, **PLAIN).predict([sample])
    np.testing.assert_array_equal(probs, sample.image.argmax(-1) == 1)
    with pytest.raises(UserError, match=r"class numbers.*foreground="):
        Onnx(path=path, **PLAIN).predict([sample])


@pytest.mark.parametrize(
    ("graph", "options", "says"),
    [
        ("(float[1, 3, 16, 16] x) => (float[1, 3, 16, 16] y) { y = Relu(x) }", {"size": 32}, "16x16.*leave size="),
        ("(float[1, 3, h, w] x) => (float[1, 3, h, w] y) { y = Relu(x) }", {}, "3 classes.*foreground=, 0..2"),
        ("(float[1, 3, h, w] x) => (float[1, 3, h, w] y) { y = Relu(x) }", {"foreground": 3}, "no class 3"),
        ("(float[1, 3, h, w] x) => (float[1, 3, h, w] y) { y = Relu(x) }", {"output": 5}, "no output 5.*: y"),
        ("(float[1, 3, h, w] x) => (float[1, 3, h, w] y) { y = Neg(x) }", {"foreground": 0}, "no probabilities"),
        ("(float[1, 3, h, w] x) => (float[1, k] y) { y = Flatten(x) }", {}, r"shape \(1, 288\)"),
        ("(float[1, 1, h, w] x) => (float[1, 1, h, w] y) { y = Relu(x) }", {}, "1, 1, any, any.*RGB"),
        ("(float[4, 3, h, w] x) => (float[4, 3, h, w] y) { y = Relu(x) }", {}, "one RGB image"),
        ("(int64[1, 3, h, w] x) => (int64[1, 3, h, w] y) { y = Identity(x) }", {}, "int64"),
        ("(float[1, 3, h, w] x, float[1] z) => (float[1, 3, h, w] y) { y = Add(x, z) }", {}, "inputs x, z"),
        ("(float[1, 3, h, w] x) => (float[2, k] y) { s = Constant <value_ints = [2, 7]> () y = Reshape(x, s) }",
         {}, "does not run.*size="),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(
    graph: str, options: dict[str, Any], says: str, tmp_path: Path, sample: Sample
) -> None:
    path = written(tmp_path / "net.onnx", graph)
    with pytest.raises(UserError, match=rf"(?s){says}") as caught:
        Onnx(path=path, **options).predict([sample])
    assert "net.onnx" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_network_or_absent(tmp_path: Path, sample: Sample) -> None:
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    for name in ("no.onnx", "absent.onnx"):
        with pytest.raises(UserError, match=name):
            Onnx(path=tmp_path / name).predict([sample])


def test_a_real_saliency_network(shared: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(data))
    test = load_dataset("ecssd").split("test")
    samples = [test[index] for index in range(4)]
    base = Onnx(path=shared / "weights" / "u2netp.onnx", divide="max", stretch=True)
    ious = [iou(probs, sample.mask) for probs, sample in zip(base.predict(samples), samples, strict=True)]
    assert np.mean(ious) > 0.6  # 0.85 over the whole set; a wrong colour order or scale falls far below


def with_weights_beside(folder: Path) -> Path:
    """The image times the one weight of the file ``weights.bin``; a constant that is not used is inside a node."""
    graph = """(float[1, 3, h, w] x) => (float[1, 3, h, w] y)
    { one = Constant <value = float[1] {1.0}> ()  factor = Constant <value = float[1] {0.5}> ()  y = Mul(x, factor) }"""
    path = written(folder / "net.onnx", graph)
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0.5], np.float32), "weight"))
    model.graph.node[-1].input[1] = "weight"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_a_file_of_weights_beside_the_network_is_part_of_its_identity(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path)
    assert Onnx.referred_files(path) == {"weights.bin": tmp_path / "weights.bin"}

    def identity() -> dict[str, object]:
        return resolve("base", f"onnx[path={path}]", load()).identity

    before = identity()
    assert identity() == before
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[3] ^= 1
    (tmp_path / "weights.bin").write_bytes(content)
    assert identity() != before
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"no file weights\.bin, .*net\.onnx.*: put it beside"):
        identity()


def test_a_tensor_inside_a_node_may_lie_beside_too(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path)
    model = onnx.load(path)
    value = model.graph.node[0].attribute[0].t
    value.ClearField("float_data")
    value.data_location = onnx.TensorProto.EXTERNAL
    place = value.external_data.add()
    place.key, place.value = "location", "constant.bin"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "constant.bin").write_bytes(b"1234")
    assert "constant.bin" in Onnx.referred_files(path)


def test_what_is_no_network_is_said_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"none")
    with pytest.raises(UserError, match="no ONNX network"):
        _ = resolve("base", f"onnx[path={tmp_path / 'net.onnx'}]", load()).identity


@pytest.mark.parametrize("place", ["../weights.bin", "/weights.bin", "a/../../weights.bin", "C:\\weights.bin", "..\\w"])
def test_weights_that_a_file_would_read_from_elsewhere_are_refused(place: str, tmp_path: Path, sample: Sample) -> None:
    (tmp_path / "net").mkdir()
    path = written(
        tmp_path / "net" / "net.onnx",
        "(float[1, 3, h, w] x) => (float[1, 3, h, w] y) <float[1] one = {1}> { y = Mul(x, one) }",
    )
    model = onnx.load(path)
    (tensor,) = model.graph.initializer
    tensor.ClearField("float_data")
    tensor.raw_data = np.ones(1, np.float32).tobytes()
    onnx.external_data_helper.set_external_data(tensor, place)
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(np.ones(1, np.float32).tobytes())
    for read in (lambda: Onnx.referred_files(path), lambda: Onnx(path=path, foreground=0).predict([sample])):
        with pytest.raises(UserError, match="would be read from elsewhere"):
            read()
