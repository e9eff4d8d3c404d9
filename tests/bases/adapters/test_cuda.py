"""ONNX on CUDA: onnxruntime as it is with and without it, here in its place, as this machine has no GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from bench.bases.adapters.onnx import Onnx
from bench.contracts import Sample, UserError
from bench.network_files.program import opened
from bench.refiners.adapters.onnx import RefinerOnnx
from tests.bases.adapters import eager
from tests.bases.adapters.test_onnx import written

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
GRAPH = "(float[1, 3, h, w] x) => (float[1, 3, h, w] y) { y = Relu(x) }"


class Runtime:
    """What `onnxruntime` is asked for; the sessions that it began."""

    def __init__(self, built: list[str], began: list[str]) -> None:
        self.built, self.began, self.sessions = built, began, list[list[str]]()

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = onnxruntime.InferenceSession

        def session(path: str, providers: list[str]) -> Any:
            self.sessions.append(providers)
            own = real(path, providers=[CPU])
            names = ("get_inputs", "get_outputs", "run")
            known = {name: getattr(own, name) for name in names}
            return SimpleNamespace(**known, get_providers=lambda: self.began)

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: self.built)
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return written(tmp_path / "net.onnx", GRAPH)


@pytest.fixture
def sample() -> Sample:
    return eager.samples(1)[0]


def test_cuda_is_used_where_it_is_asked_for_and_there(
    network: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime([CUDA, CPU], [CUDA, CPU])
    runtime.patch(monkeypatch)
    plain: dict[str, Any] = {"path": network, "foreground": 0, "mean": (0, 0, 0), "std": (1, 1, 1)}
    Onnx(device="cuda", **plain).predict([sample])
    RefinerOnnx(device="cuda", **plain).refine([sample.image], [sample.mask.astype("float32")])
    assert runtime.sessions == [[CUDA, CPU], [CUDA, CPU]]
    Onnx(device="cpu", **plain).predict([sample])
    assert runtime.sessions[-1] == [CPU]


@pytest.mark.parametrize(
    ("built", "began", "says"),
    [
        ([CPU], [CPU], "onnxruntime has no CUDA here.*pip install onnxruntime-gpu, or use cpu"),
        ([CUDA, CPU], [CPU], "cannot begin CUDA here, and would run on the CPU.*cuDNN"),
    ],
)
def test_cuda_that_is_missing_is_said_and_never_replaced(
    built: list[str], began: list[str], says: str, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Runtime(built, began).patch(monkeypatch)
    with pytest.raises(UserError, match=says) as caught:
        opened(network, "onnx", "cuda")
    assert "\n" not in str(caught.value) and "--device cuda" in str(caught.value)


def test_a_refiner_says_that_cuda_is_missing_before_a_run_begins(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Runtime([CPU], [CPU]).patch(monkeypatch)
    with pytest.raises(UserError, match="no CUDA here"):
        RefinerOnnx(path=network, device="cuda").check_files()
