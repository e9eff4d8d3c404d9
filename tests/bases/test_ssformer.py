"""SSFormer-S computes what its authors' network does; its loss is the published one, with one sigmoid or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion
from torchvision import tv_tensors

from bench.bases.ssformer import SSFormer
from bench.bases.ssformer.augmentation import Border
from bench.bases.ssformer.network import SSFormerNetwork
from bench.training import seeded
from bench.training.augment import jointly
from tests.bases.goldens import golden
from tests.bases.usage import check_maps, frozen, saved


@torch.no_grad()
def test_it_computes_the_authors_network(shared: Path) -> None:
    reference = golden(shared, "ssformer_s")
    network = SSFormerNetwork().eval()
    network.load_state_dict(reference.state)
    (pixels,) = reference.inputs
    maps = network.encode(pixels)
    for index, (found, largest) in enumerate(zip(maps, (5.2, 4.2, 4.4, 3.2), strict=True)):
        reference.check(f"mid_backbone_{index}", found, atol=1e-4 * largest)
    coarse, last = network.decode_head.fuse(maps)
    reference.check("mid_fuse34", coarse, atol=4.3e-4)
    reference.check("mid_fuse1", last, atol=6.4e-4)
    reference.check("out0", network(pixels), atol=1.6e-4, rtol=1e-4)


def test_the_authors_checkpoint_predicts(shared: Path, tmp_path: Path) -> None:
    check_maps(SSFormer(weights=saved(tmp_path / "authors.pth", golden(shared, "ssformer_s").state), size=64))


def test_parameters_and_description() -> None:
    described = SSFormer().describe()
    assert described.parameters == 29_572_545
    assert described.multiply_adds > 1e10
    # What the authors count as active.
    (group,) = SSFormer().groups(SSFormerNetwork())
    assert sum(value.numel() for value in group["params"]) == 29_309_889


def test_every_weight_learns_but_those_nothing_uses() -> None:
    with seeded(0):
        network = SSFormerNetwork().train()
        loss = SSFormer().loss(network(torch.randn(4, 3, 64, 64)), (torch.rand(4, 1, 64, 64) > 0.5).float())
    assert frozen(network, loss) == [
        "decode_head.linear_fuse.conv.weight",
        "decode_head.linear_fuse.bn.weight",
        "decode_head.linear_fuse.bn.bias",
    ]


@pytest.mark.parametrize("sigmoid", ["once", "released"])
def test_the_loss_is_the_published_one(sigmoid: Any) -> None:
    draw = np.random.default_rng(0)
    logits, mask = 4 * draw.normal(size=(2, 1, 5, 5)), draw.random((2, 1, 5, 5)) > 0.7
    probs = 1 / (1 + np.exp(-logits))
    if sigmoid == "released":
        probs = 1 / (1 + np.exp(-probs))
        assert 0.5 < probs.min() < probs.max() < 0.7311
    entropy = -np.where(mask, np.log(probs), np.log(1 - probs))
    ratio = 1 - (2 * probs * mask + 1) / (probs + mask + 1)
    found = SSFormer(sigmoid=sigmoid).loss(torch.from_numpy(logits), torch.from_numpy(mask).double())
    assert found.item() == pytest.approx((entropy + ratio).mean())


def test_imagenet_weights_of_a_file_reach_the_encoder_alone(tmp_path: Path) -> None:
    with seeded(1):
        donor = SSFormerNetwork().backbone.state_dict()
    torch.save(donor, tmp_path / "mit_b2.pth")
    base = SSFormer(encoder_weights=tmp_path / "mit_b2.pth")
    network = SSFormerNetwork()
    head = {name: value.clone() for name, value in network.decode_head.state_dict().items()}
    base.pretrain(network)
    assert all(torch.equal(value, donor[name]) for name, value in network.backbone.state_dict().items())
    assert all(torch.equal(value, head[name]) for name, value in network.decode_head.state_dict().items())


def test_augmentation_moves_image_and_mask_alike() -> None:
    mask = torch.zeros(1, 96, 96, dtype=torch.bool)
    mask[:, 30:56, 36:76] = True
    sample = {"image": mask.repeat(3, 1, 1).to(torch.uint8) * 255, "mask": mask}
    augment = jointly(SSFormer(size=96).augmentation())
    seen = set()
    for turn in range(20):
        with seeded(turn):
            changed = augment(sample)
        assert changed["image"].dtype == torch.uint8
        assert changed["mask"].dtype == torch.bool
        different = (changed["image"][:1] > 127) ^ changed["mask"]
        # At most a border two pixels wide, which grew or shrank.
        assert different.sum() < 0.2 * mask.sum() + 130
        seen.add(changed["mask"].numpy().tobytes())
    assert len(seen) > 12


def test_a_mask_s_border_grows_shrinks_or_stays() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:15, 6:16] = True
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)  # the ellipse of 3 pixels
    given = tv_tensors.Mask(torch.from_numpy(mask)[None])
    changed = [Border().transform(given, {"change": change, "side": 3})[0].numpy() for change in range(3)]
    for found, expected in zip(changed, (mask, binary_dilation(mask, cross), binary_erosion(mask, cross)), strict=True):
        np.testing.assert_array_equal(found, expected)
