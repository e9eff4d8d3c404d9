"""ResUNet-a has the released code's parts, and its loss is the formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.bases.resunet_a import ResUNetA
from bench.bases.resunet_a.loss import boundary, distance, tanimoto_loss, targets
from bench.bases.resunet_a.network import PyramidPooling, ResUNetANetwork
from bench.training import seeded
from tests.bases.usage import check_maps, frozen, saved


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def network() -> ResUNetANetwork:
    """Six levels, in eval mode. Not to be changed."""
    with seeded(0):
        return ResUNetANetwork(6).eval()


def test_parameters(network: ResUNetANetwork) -> None:
    assert count(network) == 58_032_902
    running = [value for name, value in network.named_buffers() if "running" in name]
    assert count(network) + sum(value.numel() for value in running) == 58_065_574
    with torch.device("meta"):
        assert count(ResUNetA(depth=7).network()) == 184_532_994


def test_parts_have_the_published_parameters(network: ResUNetANetwork) -> None:
    # The authors count five bands, here there are three: 32 weights of the first convolution a band.
    encoder = sum(map(count, (network.first, network.encoder, network.down, network.pooling)))
    assert encoder == 37_836_000 - 2 * 32
    assert [count(part) for part in network.combine] == [656_896, 164_608, 41_344, 10_432, 2_656]
    assert [count(part) for part in network.decoder] == [14_163_456, 3_542_784, 1_182_208, 296_192, 74_368]
    assert count(network.last_pooling) == 5_248
    # The authors' heads have six classes, here one: 33 weights a class, and 9 * 32 a class that comes in.
    assert count(network.mask) == 22_214 - 5 * 33 - 2 * 5 * 288
    assert count(network.boundary) == 11_206 - 5 * 33 - 5 * 288
    assert count(network.distance) == 27_974 - 5 * 33
    assert count(network.colour) == 195


@torch.no_grad()
def test_eval_gives_the_mask_s_logits_and_train_all_tasks(network: ResUNetANetwork) -> None:
    pixels = torch.rand(2, 3, 64, 64)
    tasks = network.tasks(pixels)
    assert {name: tuple(value.shape[1:]) for name, value in tasks.items()} == {
        "mask": (1, 64, 64),
        "boundary": (1, 64, 64),
        "distance": (1, 64, 64),
        "colour": (3, 64, 64),
    }
    assert torch.equal(network(pixels), tasks["mask"])
    with torch.device("meta"):
        trained = ResUNetANetwork(7).train()(torch.zeros(2, 3, 64, 128))
    assert list(trained) == ["mask", "boundary", "distance", "colour", "image"]
    assert trained["mask"].shape == (2, 1, 64, 128)


@torch.no_grad()
def test_dilations_reach_as_far_as_they_should(network: ResUNetANetwork) -> None:
    pixels = torch.zeros(1, 32, 1, 301)
    pixels[..., 150] = 1
    for part, far in ((network.encoder[0], 62), (network.decoder[-1], 62)):
        difference = (part(pixels) - part(torch.zeros_like(pixels))).abs().sum((0, 1, 2))
        touched = difference.nonzero().flatten() - 150
        # Two convolutions of dilation 31 reach 62 pixels; beside them rates 15, 3 and 1 reach 30, 6 and 2.
        assert sorted(set(touched.abs().tolist())) == [0, 1, 2, 3, 6, 15, 30, 31, far]


def test_pooling_takes_maxima_of_tiles() -> None:
    pooling = PyramidPooling(1, 4).eval()
    with torch.no_grad():
        for level in range(4):
            pooling.get_parameter(f"branches.{level}.0.weight").fill_(1.0)
        pooling.get_parameter("mix.0.weight").copy_(torch.eye(4, 5).roll(1, dims=1).view(4, 5, 1, 1))
        features = torch.rand(1, 1, 16, 24)
        found = pooling(features)
    for level in range(4):
        tiles = features.view(2**level, 16 // 2**level, 2**level, 24 // 2**level).amax((1, 3))
        expected = tiles.repeat_interleave(16 // 2**level, 0).repeat_interleave(24 // 2**level, 1)
        torch.testing.assert_close(found[0, level], expected, rtol=3e-5, atol=0)  # batch norm's epsilon, twice


def test_a_tile_is_a_pixel_where_the_map_is_smaller() -> None:
    features = torch.rand(1, 4, 2, 2)
    pooling = PyramidPooling(4, 4).eval()
    with torch.no_grad():
        second, fourth = (pooling.branches[level] for level in (1, 3))
        fourth.load_state_dict(second.state_dict())
        pooling.get_parameter("mix.0.weight").copy_(torch.eye(4, 8).roll(4, dims=1).view(4, 8, 1, 1))
        found = pooling(features)[0]
    assert torch.equal(found[1], found[3])


def test_every_weight_learns(network: ResUNetANetwork) -> None:
    base = ResUNetA()
    with seeded(1):
        mask = (torch.rand(2, 1, 64, 64) > 0.5).float()
        pixels = torch.rand(2, 3, 64, 64)
        trained = base.network().train()
    assert frozen(trained, base.loss(trained(pixels), mask)) == []


def formula(probs: np.ndarray, target: np.ndarray) -> float:
    """The published formula, image by image and channel by channel."""
    losses = []
    for image in range(len(probs)):
        coefficients = []
        for p, y in ((probs, target), (1 - probs, 1 - target)):
            volumes = [y[:, channel].sum() / len(y) for channel in range(y.shape[1])]
            rarest = max([1 / volume**2 for volume in volumes if volume > 0], default=0)
            weights = [1 / volume**2 if volume > 0 else rarest for volume in volumes]
            above, below = 1e-5, 1e-5
            for channel, weight in enumerate(weights):
                one, other = p[image, channel], y[image, channel]
                above += weight * (one * other).sum()
                below += weight * (one**2 + other**2 - one * other).sum()
            coefficients.append(above / below)
        losses.append(1 - sum(coefficients) / 2)
    return float(np.mean(losses))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_formula(channels: int) -> None:
    draw = np.random.default_rng(channels)
    probs, target = draw.random((2, channels, 5, 6)), draw.random((2, channels, 5, 6))
    target[1, 0] = 0
    found = tanimoto_loss(torch.from_numpy(probs), torch.from_numpy(target)).item()
    assert found == pytest.approx(formula(probs, target), rel=1e-9)


def test_a_channel_that_is_nowhere_weighs_as_the_rarest() -> None:
    draw = np.random.default_rng(0)
    probs, target = draw.random((2, 3, 4, 4)), draw.random((2, 3, 4, 4))
    target[:, 1] = 0
    found = tanimoto_loss(torch.from_numpy(probs), torch.from_numpy(target)).item()
    assert found == pytest.approx(formula(probs, target), rel=1e-9)


def test_an_empty_batch_has_a_loss_and_a_perfect_one_none() -> None:
    empty = torch.zeros(1, 1, 4, 4)
    assert tanimoto_loss(empty, empty).item() == pytest.approx(0)
    assert 0.4 < tanimoto_loss(torch.ones_like(empty), empty).item() <= 0.5
    square = empty.clone()
    square[..., 1:3, 1:3] = 1
    assert tanimoto_loss(square, square).item() == pytest.approx(0, abs=1e-6)


def test_the_base_sums_the_loss_over_tasks() -> None:
    draw = np.random.default_rng(0)
    mask = np.zeros((1, 1, 16, 16))
    mask[..., 4:12, 5:11] = 1
    image = torch.from_numpy(draw.random((1, 3, 16, 16)).astype(np.float32))
    shapes = {"mask": 1, "boundary": 1, "distance": 1, "colour": 3}
    logits = {task: draw.normal(size=(1, channels, 16, 16)) for task, channels in shapes.items()}
    wanted = targets(torch.from_numpy(mask), image)
    outputs = {task: torch.from_numpy(value) for task, value in logits.items()} | {"image": image}
    expected = sum(formula(1 / (1 + np.exp(-logits[task])), wanted[task].double().numpy()) for task in shapes)
    assert ResUNetA().loss(outputs, torch.from_numpy(mask)).item() == pytest.approx(expected, rel=1e-5)


def test_distance_grows_from_the_outline_to_one() -> None:
    mask = np.zeros((7, 9), np.uint8)
    mask[1:6, 2:7] = 1
    rings = np.zeros((7, 9))
    for depth in range(3):
        rings[1 + depth : 6 - depth, 2 + depth : 7 - depth] = (depth + 1) / 3
    np.testing.assert_allclose(distance(mask), rings, rtol=1e-6)
    assert not distance(np.zeros((3, 3), np.uint8)).any()
    assert (distance(np.ones((3, 3), np.uint8)) == 1).all()


def test_boundary_lies_along_the_outline() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[6:14, 6:14] = 1
    found = boundary(mask)
    assert set(np.unique(found)) == {0.0, 1.0}
    assert not found[:4].any()
    assert not found[9:11, 9:11].any()
    assert found[10, 5:7].all()  # both sides of the left edge
    assert found[13:15, 10].all()  # and of the lower one
    assert not boundary(np.zeros((8, 8), np.uint8)).any()


def test_colour_is_hue_saturation_and_value() -> None:
    # Red, green, blue, white, dark yellow.
    rgb = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0.5, 0.5, 0.25]], dtype=torch.float32)
    image = rgb.T.view(1, 3, 1, 5)
    found: Tensor = targets(torch.zeros(1, 1, 1, 5), image)["colour"][0, :, 0]
    expected = [[0, 1, 1], [1 / 3, 1, 1], [2 / 3, 1, 1], [0, 0, 1], [1 / 6, 0.5, 0.5]]
    torch.testing.assert_close(found.T, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_a_checkpoint_predicts(network: ResUNetANetwork, tmp_path: Path) -> None:
    check_maps(ResUNetA(weights=saved(tmp_path / "weights.pth", network.state_dict()), size=64))
