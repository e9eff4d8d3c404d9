from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import tv_tensors

from bench.bases.coanet import CoANet
from bench.bases.coanet.loss import coanet_loss, connectivity
from bench.bases.coanet.network import CoANetNetwork, StripBlock, shear, unshear
from bench.contracts import UserError
from bench.training import seeded
from bench.training.augment import cropped
from tests.bases.goldens import golden
from tests.bases.usage import check_maps
from tests.toys import roads


def small(**changes: Any) -> CoANet:
    options: dict[str, Any] = {"encoder_weights": "none", "size": 32, "crop": 0, "batch": 2, "precision": "32-true"}
    return CoANet(**(options | changes))


def keep(module: nn.Module, into: dict[str, Tensor], name: str) -> None:
    def hook(_module: nn.Module, _given: Any, output: Tensor) -> None:
        into[name] = output

    module.register_forward_hook(hook)


@torch.inference_mode()
def test_it_computes_the_authors_network(shared: Path) -> None:
    reference = golden(shared, "coanet")
    network = CoANet(diagonals="released").network().eval()
    network.load_state_dict(reference.state)
    middle: dict[str, Tensor] = {}
    for stage in range(4):
        keep(network.backbone.get_submodule(f"layer{stage + 1}"), middle, f"mid_backbone_{stage}")
    keep(network.aspp, middle, "mid_aspp")
    keep(network.decoder.decoder4, middle, "mid_d4")
    keep(network.decoder.decoder1, middle, "mid_d1")
    road, near, far = network.heads(reference.inputs[0])
    # 20 times the rounding error of the reference itself; the intermediates have deviations of up to a hundred.
    reference.check("out0", road.sigmoid(), atol=1.2e-4)
    reference.check("mid_seg_logit", road, atol=4e-4, rtol=1e-4)
    reference.check("out1", near, atol=2.4e-4, rtol=1e-4)
    reference.check("out2", far, atol=5.2e-4, rtol=1e-4)
    for name, features in middle.items():
        reference.check(name, features, atol=1e-4 * features.std().item(), rtol=1e-4)
    assert len(middle) == 7


def test_parameters_are_those_of_the_authors_code_by_part() -> None:
    network = small().network()
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    laterals = 262_656 + 65_792 + 16_512
    assert parts == {"backbone": 42_500_160, "aspp": 15_535_104, "decoder": 645_152 + laterals, "connect": 121_343}
    assert sum(parts.values()) == 59_146_719


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_a_shear_moves_row_i_by_i_and_is_undone(height: int, width: int, seed: int) -> None:
    features = np.random.default_rng(seed).random((2, 3, height, width), np.float32)
    expected = np.zeros((2, 3, height, width + height - 1), np.float32)
    for row in range(height):
        expected[:, :, row, row : row + width] = features[:, :, row]
    sheared = shear(torch.from_numpy(features))
    np.testing.assert_array_equal(sheared.numpy(), expected)
    np.testing.assert_array_equal(unshear(sheared).numpy(), features)


@pytest.mark.parametrize("both", [True, False])
def test_strips_run_along_the_diagonals(both: bool) -> None:
    """The response to one pixel in the middle: nine pixels along the row, the column and the diagonals."""
    block = StripBlock(8, 8, up=False, both=both).eval()
    ways: dict[str, Tensor] = {}
    # All ones between identities, so that the block's middle shows the strips.
    for conv in (block.conv1, block.deconv1, block.deconv2, block.deconv3, block.deconv4):
        assert conv.bias is not None
        nn.init.ones_(conv.weight)
        nn.init.zeros_(conv.bias)
    block.bn2.register_forward_pre_hook(lambda _module, given: ways.update(strips=given[0]))
    image = torch.zeros(1, 8, 15, 15)
    image[0, 0, 7, 7] = 1
    with torch.inference_mode():
        block(image)
    found = [{(int(y) - 7, int(x) - 7) for y, x in strip.round().nonzero()} for strip in ways["strips"][0]]
    steps = range(-4, 5)
    rising, falling = {(-step, step) for step in steps}, {(step, step) for step in steps}
    assert found == [{(0, s) for s in steps}, {(s, 0) for s in steps}, rising, falling if both else rising]


def numpy_connectivity(mask: np.ndarray, radius: int) -> np.ndarray:
    height, width = mask.shape
    cube = np.zeros((9, height, width), np.float32)
    for y, x in zip(*np.nonzero(mask), strict=True):
        for k in range(9):
            v, u = y + (k // 3 - 1) * radius, x + (k % 3 - 1) * radius
            cube[k, y, x] = 0 <= v < height and 0 <= u < width and mask[v, u]
    return cube


@pytest.mark.parametrize("radius", [2, 4])
def test_connectivity_is_that_of_the_neighbours_at_a_radius(radius: int) -> None:
    mask = np.random.default_rng(3).random((2, 1, 11, 14)) < 0.5
    expected = np.stack([numpy_connectivity(one[0], radius) for one in mask])
    np.testing.assert_array_equal(connectivity(torch.from_numpy(mask).float(), radius).numpy(), expected)


def test_the_loss_against_numpy() -> None:
    draw = np.random.default_rng(5)
    mask = draw.random((2, 1, 12, 12)) < 0.3
    road, near, far = (draw.normal(size=(2, channels, 12, 12)) for channels in (1, 9, 9))

    def entropy(logits: np.ndarray, target: np.ndarray) -> float:
        probs = 1 / (1 + np.exp(-logits))
        return float(-np.where(target, np.log(probs), np.log(1 - probs)).mean())

    probs = 1 / (1 + np.exp(-road))
    dice = 1 - 2 * probs[mask].sum() / (probs.sum() + mask.sum())
    cubes = [np.stack([numpy_connectivity(one[0], radius) for one in mask]) > 0 for radius in (2, 4)]
    connected = 0.6 * entropy(near, cubes[0]) + 0.4 * entropy(far, cubes[1])
    expected = entropy(road, mask) + dice + 0.2 * connected
    given = [torch.from_numpy(array) for array in (road, near, far, mask.astype(float))]
    assert coanet_loss(*given).item() == pytest.approx(expected, abs=1e-9)


def test_a_batch_without_road_has_a_finite_loss_and_gradient() -> None:
    road, near, far = outputs = [torch.zeros(1, channels, 8, 8, requires_grad=True) for channels in (1, 9, 9)]
    loss = small().loss((road, near, far), torch.zeros(1, 1, 8, 8))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2) + 1 + 0.2 * np.log(2), abs=1e-6)
    assert all(output.grad is not None and output.grad.isfinite().all() for output in outputs)


def step(base: CoANet, images: Tensor) -> CoANetNetwork:
    """The network after a backward pass over random masks."""
    with seeded(0):
        network = base.network().train()
        mask = (torch.rand(len(images), 1, *images.shape[-2:]) < 0.4).float()
        base.loss(network(images), mask).backward()
    return network


def test_gradients_reach_every_tensor() -> None:
    network = step(small(), torch.randn(2, 3, 32, 32))
    still = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-7}
    # Batch norm takes out what a bias before it adds.
    names = ("conv1", "conv3", "deconv1", "deconv2", "deconv3", "deconv4")
    assert still == {f"decoder.decoder{block}.{name}.bias" for block in (1, 2, 3, 4) for name in names}


def test_frozen_gates_stay_out_of_the_optimiser() -> None:
    base = small(squeeze="frozen")
    network = base.network()
    backbone, head = (sum(p.numel() for p in group["params"]) for group in base.groups(network))
    # Counted in the authors' code.
    assert (backbone, head) == (42_500_160, 16_646_451)
    assert [group.get("lr", base.lr) for group in base.groups(network)] == [0.01, 0.1]
    gates = [p for name, p in network.named_parameters() if ".fc." in name]
    assert sum(p.numel() for p in gates) == 108 and not any(p.requires_grad for p in gates)
    trained = small()
    assert sum(p.numel() for p in trained.groups(trained.network())[1]["params"]) == 16_646_451 + 108


def test_a_step_of_one_sample_trains() -> None:
    assert all(p.grad is not None for p in step(small(), torch.randn(1, 3, 32, 32)).parameters())
    with pytest.raises(UserError, match="batch=2"):
        small(batch=1)


def test_imagenet_weights_reach_the_backbone(tmp_path: Path) -> None:
    donor = small().network().backbone.state_dict()
    state = {name: torch.full_like(value, 3) for name, value in donor.items()}
    file = tmp_path / "resnet101.pth"
    torch.save({**state, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, file)
    network = small().network()
    small(encoder_weights=file).pretrain(network)
    assert all((value == 3).all() for value in network.backbone.state_dict().values())


@pytest.mark.parametrize("crop", [0, 16, 24, 32, 512])
def test_augmentation_moves_image_and_mask_together(crop: int) -> None:
    base = small(size=32, crop=crop)
    transform = base.augmentation()
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, 8:24, 8:24] = True
    pair = {"image": tv_tensors.Image(mask.expand(3, -1, -1).byte() * 200), "mask": tv_tensors.Mask(mask)}
    with seeded(1):
        found = [transform(pair) for _ in range(8)]
    for one in found:
        assert one["image"].dtype == torch.uint8 and one["mask"].dtype == torch.bool
        assert one["image"].shape[-2:] == one["mask"].shape[-2:]
        bright = one["image"][:1] > 100
        # But for a pixel of the edge, where the image is interpolated.
        assert (bright ^ one["mask"]).float().mean() < 0.1 and one["mask"].any()
    sides = {one["mask"].shape[-1] for one in found}
    if not 0 < crop < 32:
        assert sides == {32}  # of a batch all have one size
    else:
        assert len(sides) > 1 and min(sides) >= crop and max(sides) < 64
        cut = cropped(transform, base.cropped_to)
        assert cut is not None
        assert {cut(pair)["mask"].shape[-2:] for _ in range(8)} == {(crop, crop)}


def test_it_trains_with_crops_and_a_last_step_of_one_sample(tmp_path: Path) -> None:
    base = small(crop=16, size=32, epochs=1)
    base.fit(roads("train"), roads("val"), tmp_path)
    maps = base.predict(roads("test").samples)
    assert [one.shape for one in maps] == [(40, 50), (41, 50), (42, 50)]


def test_the_authors_checkpoint_gives_maps(shared: Path, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in golden(shared, "coanet").state.items()}
    torch.save({"epoch": 1, "state_dict": state, "best_pred": 0.5}, tmp_path / "coanet.pth.tar")
    sample = roads("test")[2]
    maps = {
        diagonals: small(weights=tmp_path / "coanet.pth.tar", diagonals=diagonals, tta="flips").predict([sample])[0]
        for diagonals in ("both", "released")
    }
    assert all(one.shape == (42, 50) and 0 <= one.min() < one.max() <= 1 for one in maps.values())
    assert np.abs(maps["both"] - maps["released"]).max() > 0.01
    check_maps(small(weights=tmp_path / "coanet.pth.tar"))
