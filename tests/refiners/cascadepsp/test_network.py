from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet50
from torchvision.transforms.functional import normalize, to_tensor

from bench.contracts import UserError
from bench.refiners.cascadepsp.network import build, loaded, normalised, pretrain
from bench.training import save_weights
from tests.bases.goldens import golden

OUTPUTS = ("out_28", "out_28_2", "out_56", "out_224", "out_28_3", "out_56_2", "pred_224")


def test_the_packages_network_is_the_published_one(shared: Path, tmp_path: Path) -> None:
    reference = golden(shared, "cascadepsp")
    torch.save({f"module.{key}": value for key, value in reference.state.items()}, tmp_path / "model")
    network = loaded(tmp_path / "model")
    assert sum(parameter.numel() for parameter in network.parameters()) == 67_683_433
    image, mask = reference.inputs
    with torch.no_grad():
        three_levels, one_level = network(image, mask), network(image, mask, inter_s8=mask, inter_s4=mask)
    for number, name in enumerate(OUTPUTS):
        reference.check(f"out{number}", three_levels[name], atol=2e-4, rtol=1e-4)
    reference.check("out7", one_level["pred_224"], atol=1e-4)


def test_pixels_are_normalised_as_torchvision_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    expected = normalize(to_tensor(image), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.equal(normalised(torch.from_numpy(image.transpose(2, 0, 1))), expected)


def test_an_encoder_of_imagenet_sees_the_colours_and_no_mask_at_first(tmp_path: Path) -> None:
    encoder = resnet50(weights=None)
    save_weights(encoder, tmp_path / "resnet50.safetensors")
    network = build(0)
    pretrain(network, tmp_path / "resnet50.safetensors")
    own, theirs = network.get_submodule("feats").state_dict(), encoder.state_dict()
    assert torch.equal(own["conv1.weight"][:, :3], theirs["conv1.weight"])
    assert not own["conv1.weight"][:, 3:].any()
    assert all(torch.equal(value, theirs[name]) for name, value in own.items() if name != "conv1.weight")


def test_an_encoder_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet18.pth")
    with pytest.raises(UserError, match=r"missing bn1\.weight.*encoder_weights="):
        pretrain(build(0), tmp_path / "resnet18.pth")


def test_a_seed_decides_the_first_weights() -> None:
    states = [build(seed).state_dict()["final_21.weight"] for seed in (0, 0, 1)]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])
