from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from bench.bases.adapters.torchvision import TorchVision
from bench.contracts import Sample, UserError
from bench.images import resize
from bench.training.preprocessing import IMAGENET
from tests.bases.adapters import eager

LIGHT = "lraspp_mobilenet_v3_large"


def network(classes: int, model: str = LIGHT, **options: Any) -> Any:
    torch.manual_seed(0)
    return get_model(model, weights=None, weights_backbone=None, num_classes=classes, **options).eval()


def direct(model: Any, image: np.ndarray) -> np.ndarray:
    """Probabilities ``KxHxW`` by calling the model itself."""
    with torch.inference_mode():
        logits = model(IMAGENET(torch.from_numpy(image.transpose(2, 0, 1)[None].copy())))["out"][0]
    return (logits.sigmoid() if len(logits) == 1 else logits.softmax(0)).numpy()


@pytest.fixture
def sample() -> Sample:
    return eager.samples(1)[0]


@pytest.mark.parametrize(("classes", "foreground"), [(1, None), (2, None), (4, 2), (4, (1, 3))])
def test_maps_are_the_models_own(classes: int, foreground: Any, tmp_path: Path, sample: Sample) -> None:
    model = network(classes)
    save_file(model.state_dict(), tmp_path / "net.safetensors")
    own = direct(model, sample.image)
    channels = [classes - 1] if foreground is None else np.atleast_1d(foreground)
    expected = sum(own[channel] for channel in channels)
    options: dict[str, Any] = {"model": LIGHT, "classes": classes, "foreground": foreground}
    base = TorchVision(weights=tmp_path / "net.safetensors", **options)
    (probs,) = base.predict([sample])
    assert probs.shape == sample.mask.shape and probs.dtype == np.float32 and np.ptp(probs) > 1e-4
    np.testing.assert_allclose(probs, expected, atol=1e-5)
    (small,) = TorchVision(weights=tmp_path / "net.safetensors", size=32, **options).predict([sample])
    assert small.shape == sample.mask.shape


def test_a_checkpoint_with_an_auxiliary_head(tmp_path: Path, sample: Sample) -> None:
    model = network(21, "fcn_resnet50", aux_loss=True)
    assert any(name.startswith("aux_classifier.") for name in model.state_dict())
    torch.save({"model": model.state_dict()}, tmp_path / "net.pth")  # as torchvision's training script saves
    base = TorchVision(weights=tmp_path / "net.pth", model="fcn_resnet50", foreground=15, size=64)
    (probs,) = base.predict([sample])
    own = direct(model, resize(sample.image, 64, 64))
    assert own.shape == (21, 64, 64)
    assert probs.shape == sample.mask.shape
    # Logits are resized, here probabilities: nearly the same.
    np.testing.assert_allclose(probs, resize(own[15], *sample.mask.shape), atol=0.02)


def test_what_does_not_fit_is_said(tmp_path: Path, sample: Sample) -> None:
    save_file(network(4).state_dict(), tmp_path / "net.safetensors")
    weights = tmp_path / "net.safetensors"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"classes": 3}, r"net\.safetensors.*classes=3"),
        ({"classes": 4}, "4 classes.*foreground=, 0..3"),
        ({"classes": 4, "foreground": 4}, "no class 4"),
        ({"weights": tmp_path / "absent.pth"}, r"absent\.pth"),
    ]
    for options, says in cases:
        with pytest.raises(UserError, match=says) as caught:
            TorchVision(**{"weights": weights, "model": LIGHT, **options}).predict([sample])
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"no segmentation network 'resnet50'.*fcn_resnet50"):
        TorchVision(weights=weights, model="resnet50")


def test_without_network_pretrained_says_what_to_bring(
    tmp_path: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: Any, **options: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=r"https://\S+lraspp\S+\.pth and give weights=FILE"):
        TorchVision(weights="pretrained", model=LIGHT, foreground=15).predict([sample])
