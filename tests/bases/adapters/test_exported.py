from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.bases.adapters.exported import Exported
from bench.bases.adapters.onnx import Onnx
from bench.contracts import Sample, UserError
from tests.bases.adapters import eager

PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


class Scaled(nn.Module):
    """Its input, by a weight of 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), 0.5))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": x * self.weight}


def exported(module: nn.Module, path: Path, *example: Tensor, free: bool = False) -> Path:
    auto = torch.export.Dim.AUTO
    shapes = tuple({axis: auto for axis in (0, 2, 3)} for _ in example) if free else None
    torch.export.save(torch.export.export(module, example, dynamic_shapes=shapes), path)
    return path


@pytest.fixture
def sample() -> Sample:
    return eager.samples(1)[0]


def test_a_trained_unet_is_what_eager_says_as_is_and_as_onnx(tmp_path: Path) -> None:
    network = eager.unet()
    program = torch.export.export(network, (torch.zeros(1, 3, eager.SIDE, eager.SIDE),))
    torch.export.save(program, tmp_path / "unet.pt2")
    written = torch.onnx.export(program, dynamo=True, verbose=False)
    assert written is not None
    written.save(tmp_path / "unet.onnx")
    for base in (
        Exported(path=tmp_path / "unet.pt2", activation="sigmoid"),
        Onnx(path=tmp_path / "unet.onnx", activation="sigmoid"),
    ):
        for probs, own in zip(base.predict(eager.samples()), eager.maps(network), strict=True):
            assert probs.dtype == np.float32 and own.max() - own.min() > 0.1
            np.testing.assert_allclose(probs, own, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 40, 56), (1, 40, 56, 3)])
def test_layout_and_type_are_the_files(shape: tuple[int, ...], tmp_path: Path, sample: Sample) -> None:
    path = exported(Scaled(), tmp_path / "net.pt2", torch.zeros(shape))
    for index in range(3):
        (probs,) = Exported(path=path, foreground=index, output="out", **PLAIN).predict([sample])
        assert probs.shape == sample.mask.shape
        assert abs(probs.mean() - sample.image[..., index].mean() / 510) < 0.005
        assert np.corrcoef(probs.ravel(), sample.mask.ravel())[0, 1] > 0.8  # in its place
    raw = exported(Scaled(), tmp_path / "raw.pt2", torch.zeros(2, 3, 40, 56, dtype=torch.uint8), free=True)
    (probs,) = Exported(path=raw, foreground=1, stretch=True).predict([sample])
    green = sample.image[..., 1].astype(np.float32)
    np.testing.assert_allclose(probs, (green - green.min()) / (green.max() - green.min()), atol=1e-5)


class Evil:
    """Its unpickling leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.trace,)


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change the parts of a ``.pt2`` file, named as below its one folder."""
    with zipfile.ZipFile(path) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"net/{name}", content)


def test_no_code_in_a_file_is_run(tmp_path: Path, sample: Sample) -> None:
    trace = tmp_path / "executed"
    torch.save(Evil(trace), tmp_path / "evil.pt")
    evil = (tmp_path / "evil.pt").read_bytes()

    def as_example(parts: dict[str, bytes]) -> None:
        parts["data/sample_inputs/model.pt"] = evil

    def as_weight(parts: dict[str, bytes]) -> None:
        parts["data/weights/weight_0"] = evil
        name = "data/weights/model_weights_config.json"
        parts[name] = parts[name].replace(b'"use_pickle": false', b'"use_pickle": true')

    def as_old_weights(parts: dict[str, bytes]) -> None:
        parts["data/weights/model.pt"] = evil

    def as_constant(parts: dict[str, bytes]) -> None:
        parts["data/constants/opaque_obj_0"] = pickle.dumps(Evil(trace))

    def as_library(parts: dict[str, bytes]) -> None:
        parts["data/aotinductor/model/net.so"] = b"\x7fELF"

    for change in (as_example, as_weight, as_old_weights, as_constant, as_library):
        path = exported(Scaled(), tmp_path / "net.pt2", torch.zeros(1, 3, 40, 56))
        rewritten(path, change)
        with pytest.raises(UserError, match=r"could run code.*net\.pt2"):
            Exported(path=path).predict([sample])
        assert not trace.exists()
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:  # the layout of torch 2.7, which is all pickles
        archive.writestr("version", "8.4")
        archive.writestr("serialized_state_dict.pt", evil)
    with pytest.raises(UserError, match=r"old\.pt2"):
        Exported(path=tmp_path / "old.pt2").predict([sample])
    assert not trace.exists()
    # Evil it is: torch itself would have run it.
    path = exported(Scaled(), tmp_path / "net.pt2", torch.zeros(1, 3, 40, 56))
    rewritten(path, as_example)
    with path.open("rb") as stream, pytest.raises(AssertionError):
        torch.export.load(stream)
    assert trace.exists()


def test_a_rewritten_file_still_runs(tmp_path: Path, sample: Sample) -> None:
    path = exported(Scaled(), tmp_path / "net.pt2", torch.zeros(1, 3, 40, 56))
    rewritten(path, lambda parts: None)
    assert Exported(path=path, foreground=0, **PLAIN).predict([sample])[0].shape == sample.mask.shape


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 64}, "size=64, and its input is 40x56.*leave size="),
        ({"output": 1}, "no output 1, the network has 1: out"),
        ({"foreground": 3}, "no class 3.*0..2"),
        ({"foreground": 0}, "no probabilities"),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, Any], says: str, tmp_path: Path, sample: Sample) -> None:
    path = exported(Scaled(), tmp_path / "net.pt2", torch.zeros(1, 3, 40, 56))
    with pytest.raises(UserError, match=says):
        Exported(path=path, **options).predict([sample])


def test_other_files_are_refused_in_one_line(tmp_path: Path, sample: Sample, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "state.pt2")
    (tmp_path / "torn.pt2").write_bytes(
        exported(Scaled(), tmp_path / "a.pt2", torch.zeros(1, 3, 4, 4)).read_bytes()[:99]
    )
    exported(Scaled(), tmp_path / "grey.pt2", torch.zeros(1, 1, 40, 56))
    broken = exported(Scaled(), tmp_path / "broken.pt2", torch.zeros(1, 3, 40, 56))
    rewritten(broken, lambda parts: parts.update({"archive_version": b"99"}))
    for name in ("state.pt2", "torn.pt2", "absent.pt2", "grey.pt2", "broken.pt2"):
        with pytest.raises(UserError, match=name.replace(".", r"\.")) as caught:
            Exported(path=tmp_path / name).predict([sample])
        assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err
