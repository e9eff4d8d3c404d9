from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.bases.adapters.torchscript import TorchScript
from bench.contracts import Sample, UserError
from tests.bases.adapters import eager

PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


class Channels(nn.Module):
    """Its input under a name, beside a map of another name and what is no tensor."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"features": x, "out": x[:, :1]}


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x[:, 1]


def scripted(module: nn.Module, path: Path) -> Path:
    with eager.deprecated():
        torch.jit.save(torch.jit.script(module), path)
    return path


@pytest.fixture
def sample() -> Sample:
    return eager.samples(1)[0]


def test_a_trained_unet_is_what_eager_says(tmp_path: Path) -> None:
    network = eager.unet()
    with eager.deprecated():
        torch.jit.trace(network, torch.zeros(1, 3, eager.SIDE, eager.SIDE)).save(tmp_path / "unet.pt")
    base = TorchScript(path=tmp_path / "unet.pt", size=eager.SIDE, activation="sigmoid")
    for probs, own, one in zip(base.predict(eager.samples()), eager.maps(network), eager.samples(), strict=True):
        assert probs.shape == one.mask.shape and probs.dtype == np.float32
        assert own.max() - own.min() > 0.1  # no constant
        np.testing.assert_allclose(probs, own, atol=1e-4)


def test_outputs_by_name_and_number(tmp_path: Path, sample: Sample) -> None:
    red, green = sample.image[..., 0] / 255, sample.image[..., 1] / 255
    named, numbered = scripted(Channels(), tmp_path / "named.pt"), scripted(Pair(), tmp_path / "pair.pt")
    for path, options, expected in (
        (named, {"output": "out"}, red),
        (named, {"output": "features", "foreground": 1}, green),
        (numbered, {"output": 1}, green),
        (numbered, {"output": 0, "foreground": 0}, red),
    ):
        (probs,) = TorchScript(path=path, **PLAIN, **options).predict([sample])
        np.testing.assert_allclose(probs, expected, atol=1e-6)  # without size= at the image's own


def test_half_precision_is_asked_of_the_weights(tmp_path: Path, sample: Sample) -> None:
    convolution = nn.Conv2d(3, 1, 1, bias=False).bfloat16()
    nn.init.constant_(convolution.weight, 0.25)
    (probs,) = TorchScript(path=scripted(convolution, tmp_path / "net.pt"), **PLAIN).predict([sample])
    np.testing.assert_allclose(probs, sample.image.sum(-1) / 255 / 4, atol=0.01)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"output": 2}, "no output 2, the network has 2"),
        ({"output": "out"}, "no output out"),
        ({}, "3 classes.*foreground="),
        ({"output": 1, "activation": "softmax"}, "softmax over one channel"),
        ({"output": 1}, "no probabilities.*activation=sigmoid"),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, Any], says: str, tmp_path: Path, sample: Sample) -> None:
    path = scripted(Pair(), tmp_path / "net.pt")
    with pytest.raises(UserError, match=says) as caught:
        TorchScript(path=path, **options).predict([sample])
    assert "net.pt" in str(caught.value)


def test_a_size_that_the_network_cannot_take(tmp_path: Path, sample: Sample) -> None:
    path = scripted(nn.Conv2d(3, 1, 32), tmp_path / "net.pt")
    with pytest.raises(UserError, match=r"does not run on float32 \(1, 3, 16, 16\).*net\.pt.*size="):
        TorchScript(path=path, size=16).predict([sample])


def test_no_code_in_a_file_that_is_no_network_is_run(tmp_path: Path, sample: Sample) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (tmp_path / "executed",)

    torch.save({"weight": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04torn")
    for name in ("evil.pt", "torn.pt", "absent.pt"):
        with pytest.raises(UserError, match=name) as caught:
            TorchScript(path=tmp_path / name).predict([sample])
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()
