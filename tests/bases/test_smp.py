from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from bench.bases.deeplabv3plus import DeepLabV3Plus
from bench.bases.parts.losses import bce_dice
from bench.bases.unet import UNet
from bench.contracts import UserError
from bench.training import seeded
from bench.training.encoders import preprocessing
from tests.bases.usage import check_maps
from tests.toys import discs

TEST = discs("test").samples


def small(**changes: Any) -> UNet:
    options: dict[str, Any] = {"encoder": "resnet18", "encoder_weights": "none", "size": 32, "epochs": 2, "batch": 3}
    return UNet(**(options | changes))


def built(base: UNet, *, pretrained: bool) -> Any:
    with seeded(base.seed):
        network: nn.Module = base.network()
    if pretrained:
        base.pretrain(network)
    return network


def test_training_is_deterministic_kept_and_loaded(tmp_path: Path) -> None:
    maps = []
    for folder in ("one", "two", "one"):
        base = small()
        base.fit(discs("train"), discs("val"), tmp_path / folder)
        maps.append(base.predict(TEST))
    for first, second, loaded, sample in zip(*maps, TEST, strict=True):
        assert first.shape == sample.mask.shape and first.dtype == np.float32
        assert first.min() >= 0 and first.max() <= 1
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, loaded)
    rows = (tmp_path / "one" / "training.csv").read_text().splitlines()
    assert len(rows) == 3 and rows[0].startswith("epoch,")
    assert not (tmp_path / "one" / "train").exists()  # scratch is gone


def test_a_lone_last_sample_does_not_stop_a_training(tmp_path: Path) -> None:
    # Atrous pooling leaves one value a channel: of one sample batch norm has no statistics.
    base = DeepLabV3Plus(encoder="resnet18", encoder_weights="none", size=32, epochs=1, batch=5)
    base.fit(discs("train"), discs("val"), tmp_path)
    assert len(base.predict(TEST)) == 6


def test_weights_make_a_base_that_needs_no_training(tmp_path: Path) -> None:
    trained = small()
    trained.fit(discs("train"), discs("val"), tmp_path)
    given = small(weights=tmp_path / "weights.safetensors")
    assert trained.trainable and not given.trainable
    check_maps(given)
    for one, other in zip(trained.predict(TEST), given.predict(TEST), strict=True):
        np.testing.assert_array_equal(one, other)


def test_encoder_weights_from_a_file_reach_the_encoder(tmp_path: Path) -> None:
    encoder = built(small(encoder="resnet18"), pretrained=False).encoder
    state = {key: torch.full_like(value, 0.25) for key, value in encoder.state_dict().items()}
    save_file(state, tmp_path / "encoder.safetensors")
    loaded = built(small(encoder_weights=tmp_path / "encoder.safetensors"), pretrained=True)
    assert all((value == 0.25).all() for key, value in loaded.encoder.state_dict().items() if "tracked" not in key)


def test_the_shared_encoder_fits(shared: Path) -> None:
    base = small(encoder="mobilenet_v2", encoder_weights=shared / "weights" / "mobilenet_v2-imagenet.safetensors")
    plain = built(small(encoder="mobilenet_v2"), pretrained=False).encoder.features[0][0].weight
    assert not torch.equal(built(base, pretrained=True).encoder.features[0][0].weight, plain)


def test_without_network_imagenet_says_what_to_bring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"resnet18.*encoder_weights=FILE"):
        built(small(encoder_weights="imagenet"), pretrained=True)


@pytest.mark.parametrize(("changes", "says"), [({"size": 100}, "size=96"), ({"encoder": "resnet19"}, "resnet19")])
def test_wrong_parameters(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        built(small(**changes), pretrained=False)


def test_normalisation_follows_the_encoder() -> None:
    assert preprocessing("resnet34").mean == (0.485, 0.456, 0.406)
    lite = preprocessing("tu-tf_efficientnet_lite0")
    assert (lite.mean, lite.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_bce_dice_against_hand_arithmetic() -> None:
    logits, mask = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])
    # BCE = ln 2; soft Dice = (2 * 0.5 + 1) / (1 + 1 + 1).
    assert bce_dice(logits, mask).item() == pytest.approx(np.log(2) + 1 - 2 / 3, abs=1e-6)
    assert bce_dice(mask * 200 - 100, mask).item() == pytest.approx(0, abs=1e-6)
    assert F.binary_cross_entropy_with_logits(logits, mask).item() == pytest.approx(np.log(2))
