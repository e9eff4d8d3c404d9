"""ResUNet computes what rishikksh20's code does, and has the paper's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from bench.bases.resunet import ResUNet
from bench.bases.resunet.network import ResUNetwork
from bench.training import seeded
from bench.training.augment import jointly
from tests.bases.goldens import golden
from tests.bases.usage import check_maps, frozen, saved


@torch.no_grad()
def test_it_computes_the_code_s_network(shared: Path) -> None:
    reference = golden(shared, "resunet")
    network = ResUNetwork("code").eval()
    network.load_state_dict(reference.state)
    (pixels,) = reference.inputs
    whole = network.input_layer(pixels) + network.input_skip(pixels)
    bridge = network.bridge(network.residual_conv_2(network.residual_conv_1(whole)))
    reference.check("mid_bridge", bridge, atol=1e-3)
    logits = network(pixels)
    reference.check("mid_logit", logits, atol=7e-4)
    reference.check("out0", logits.sigmoid(), atol=2e-5)


def test_a_checkpoint_of_that_code_predicts(shared: Path, tmp_path: Path) -> None:
    check_maps(ResUNet(weights=saved(tmp_path / "resunet.pth", golden(shared, "resunet").state), size=64))


def test_parameters() -> None:
    counts = {
        variant: sum(parameter.numel() for parameter in ResUNetwork(variant).parameters())
        for variant in ("code", "paper")
    }
    assert counts == {"code": 13_043_009, "paper": 8_223_809}
    assert ResUNet().network().state_dict().keys() == ResUNetwork("code").state_dict().keys()


def test_the_paper_s_form_has_small_normalised_shortcuts_and_no_weights_between_blocks() -> None:
    network = ResUNet(variant="paper").network()
    modules = dict(network.named_modules())
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in modules.values())
    shortcuts = [module for name, module in modules.items() if name.endswith("_skip")]
    assert len(shortcuts) == 7
    for module in shortcuts:
        assert isinstance(module, nn.Sequential)
        convolution, norm = module
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.kernel_size == (1, 1)
        assert isinstance(norm, nn.BatchNorm2d)


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_every_weight_learns(variant: Literal["code", "paper"]) -> None:
    base = ResUNet(variant=variant)
    with seeded(0):
        network = base.network().train()
        mask = (torch.rand(2, 1, 16, 24) > 0.5).float()
        loss = base.loss(network(torch.rand(2, 3, 16, 24)), mask)
    assert frozen(network, loss) == []


def test_the_loss_is_the_batch_s_dice() -> None:
    logits = torch.tensor([0.0, np.log(3.0)]).view(2, 1, 1, 1)  # probabilities 1/2 and 3/4
    mask = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    assert ResUNet().loss(logits, mask).item() == pytest.approx(1 - (2 * 0.75 + 1) / (1.25 + 1 + 1))


def test_augmentation_keeps_image_and_mask_together() -> None:
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, 4:20, 10:18] = True
    sample = {"image": mask.repeat(3, 1, 1).to(torch.uint8) * 200, "mask": mask}
    augment = jointly(ResUNet(size=32).augmentation())
    moved, cut = 0, 0
    for draw in range(40):
        with seeded(draw):
            changed = augment(sample)
        assert changed["image"].shape == (3, 32, 32)
        assert changed["image"].dtype == torch.uint8
        assert changed["mask"].dtype == torch.bool
        # Brightness is halved at the least.
        bright = changed["image"].amax(0, keepdim=True) > 50
        stray = (bright & ~changed["mask"]).float().mean()
        assert stray < 0.06  # of interpolation
        moved += not torch.equal(changed["mask"], mask)
        cut += bool((changed["mask"] & ~bright).sum() > 20)
    assert moved >= 10
    assert cut >= 1


@pytest.mark.parametrize(("options", "expected"), [({}, [1.0, 0.2, 0.0]), ({"channels": "rgb"}, [0.0, 0.2, 1.0])])
def test_values_are_in_zero_to_one_and_blue_comes_first(options: dict[str, Any], expected: list[float]) -> None:
    found = ResUNet(**options).preprocessing(torch.tensor([0, 51, 255]).view(1, 3, 1, 1))
    assert found.flatten().tolist() == pytest.approx(expected)
