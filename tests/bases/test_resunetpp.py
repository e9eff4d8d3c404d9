"""ResUNet++ computes what its authors' network does, and what the one of PatchRefineNet's authors does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.bases.resunetpp import ResUNetPlusPlus
from bench.bases.resunetpp.network import Attention, OfficialNetwork, PrnNetwork
from bench.training import seeded
from tests.bases.goldens import golden
from tests.bases.usage import check_maps, frozen, saved

Variant = Literal["official", "prn"]
KEYS: dict[Variant, str] = {"official": "resunetpp", "prn": "resunetpp_prn"}


@torch.no_grad()
def test_it_computes_the_authors_network(shared: Path) -> None:
    reference = golden(shared, "resunetpp")
    network = OfficialNetwork().eval()
    network.load_state_dict(reference.state)
    (pixels,) = reference.inputs
    quarter = network.c3(network.c2(network.c1(pixels)))
    bridge = network.b1(network.c4(quarter))
    reference.check("mid_bridge", bridge, atol=3e-4)
    reference.check("mid_d1", network.d1(quarter, bridge), atol=2e-4)
    reference.check("out0", network(pixels), atol=3e-5, rtol=1e-4)


@torch.no_grad()
def test_it_computes_the_network_of_patchrefinenet_s_authors(shared: Path) -> None:
    reference = golden(shared, "resunetpp_prn")
    network = PrnNetwork().eval()
    network.load_state_dict(reference.state)
    logits = network(*reference.inputs)
    reference.check("mid_logit", logits, atol=4e-4)
    reference.check("out0", logits.sigmoid(), atol=2e-5)


@pytest.mark.parametrize("variant", ["official", "prn"])
def test_a_checkpoint_of_either_code_predicts(shared: Path, tmp_path: Path, variant: Variant) -> None:
    checkpoint = saved(tmp_path / "weights.pth", golden(shared, KEYS[variant]).state)
    check_maps(ResUNetPlusPlus(weights=checkpoint, variant=variant, size=64))


@pytest.mark.parametrize(("variant", "expected"), [("official", 4_062_993), ("prn", 14_482_564)])
def test_parameters(variant: Variant, expected: int) -> None:
    network = ResUNetPlusPlus(variant=variant).network()
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_parts_have_the_published_parameters() -> None:
    parts = {"c1": 2_960, "c2": 14_848, "c3": 58_880, "c4": 234_496, "b1": 1_248_512, "d1": 1_891_712}
    parts |= {"d2": 473_792, "d3": 118_880, "aspp": 18_896, "output": 17}
    network = OfficialNetwork()
    found = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in network.named_children()}
    assert found == parts


@torch.no_grad()
def test_the_attention_s_factor_is_not_squashed() -> None:
    attention = Attention(2, 4, 4, 3, ("g", "x", "gate")).eval()
    for convolution in (module for module in attention.modules() if isinstance(module, torch.nn.Conv2d)):
        torch.nn.init.zeros_(convolution.weight)
    attention.get_parameter("gate.2.bias").fill_(-3.0)
    features = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(attention(torch.rand(1, 2, 12, 12), features), -3 * features)


@pytest.mark.parametrize("variant", ["official", "prn"])
def test_every_weight_learns(variant: Variant) -> None:
    base = ResUNetPlusPlus(variant=variant)
    # Excitations of two to four hidden channels can be born dead, all of them: not with this seed.
    with seeded(2):
        network = base.network().train()
        mask = (torch.rand(2, 1, 64, 64) > 0.5).float()
        loss = base.loss(network(torch.rand(2, 3, 64, 64)), mask)
    assert frozen(network, loss) == []


def test_the_loss_is_the_batch_s_dice() -> None:
    draw = np.random.default_rng(0)
    logits, mask = draw.normal(size=(2, 1, 4, 4)), draw.random((2, 1, 4, 4)) > 0.5
    probs = 1 / (1 + np.exp(-logits))
    expected = 1 - (2 * probs[mask].sum() + 1) / (probs.sum() + mask.sum() + 1)
    found = ResUNetPlusPlus().loss(torch.from_numpy(logits), torch.from_numpy(mask).double())
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize(("channels", "expected"), [("bgr", [1.0, 0.2, 0.0]), ("rgb", [0.0, 0.2, 1.0])])
def test_the_channels_order(channels: Literal["bgr", "rgb"], expected: list[float]) -> None:
    pixels: Tensor = torch.tensor([0, 51, 255]).view(1, 3, 1, 1)
    found = ResUNetPlusPlus(channels=channels).preprocessing(pixels)
    assert found.flatten().tolist() == pytest.approx(expected)
