"""The network's shapes, its counts, and that the local decoder keeps to its patches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import UserError
from bench.refiners.prn.network import Branches, OfRepeated, PrnNetwork, PyramidPooling, cut, patch_sides, tile
from bench.training import seeded

SIZE, PATCH = 32, 16


def small(patch: int = PATCH) -> PrnNetwork:
    with seeded(0):
        return PrnNetwork(SIZE, patch, width=4).eval()


@torch.no_grad()
@pytest.mark.parametrize("patch", [16, 4])
def test_a_patch_of_features_changes_its_own_output_and_no_other(patch: int) -> None:
    network = small(patch)
    with seeded(1):
        levels = network.encode(torch.rand(2, 1, SIZE, SIZE))
    before_local, before_whole = network.decode_local(levels), network.decode_whole(levels)
    for level in levels:
        side = PATCH * level.shape[-1] // SIZE
        level[1, :, :side, side:] += 1  # the top right patch of the second map, at every stride
    changed_local = (network.decode_local(levels) != before_local)[:, 0]
    changed_whole = (network.decode_whole(levels) != before_whole)[:, 0]
    inside = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    inside[1, :PATCH, PATCH:] = True
    assert not changed_local[~inside].any()
    assert changed_local[inside].float().mean() > 0.9
    assert changed_whole[1][~inside[1]].any()  # the global decoder does look across
    assert not changed_whole[0].any()


@torch.no_grad()
@pytest.mark.parametrize(("size", "patch"), [(24, side) for side in (1, 2, 3, 4, 6, 12, 24)] + [(48, 12), (48, 24)])
def test_any_patch_that_divides_the_size_is_decoded_at_full_size(size: int, patch: int) -> None:
    with seeded(0):
        network = PrnNetwork(size, patch, width=4).eval()
        levels = network.encode(torch.rand(1, 1, size, size))
    alone = [level.clone() for level in levels]
    alone[0][:, :, :patch, :patch] += 1  # full resolution: the first patch's own pixels
    changed = (network.decode_local(alone) != network.decode_local(levels))[0, 0]
    assert changed.shape == (size, size)
    assert changed[:patch, :patch].any()
    changed[:patch, :patch] = False
    assert not changed.any()


@torch.no_grad()
def test_a_branch_alone_is_that_branch_of_both() -> None:
    both, maps = small(), torch.rand(1, 1, SIZE, SIZE)
    branches: tuple[Branches, ...] = ("global", "local")
    for branch, expected in zip(branches, both(maps), strict=True):
        alone = PrnNetwork(SIZE, PATCH, 4, branch).eval()
        alone.load_state_dict({name: both.state_dict()[name] for name in alone.state_dict()})
        (found,) = alone(maps)
        assert torch.equal(found, expected)


def test_cut_gives_the_patches_row_by_row_and_tile_puts_them_back() -> None:
    features = torch.arange(2 * 3 * 8 * 12.0).reshape(2, 3, 8, 12)
    patches = cut(features, 4)
    assert patches.shape == (32, 3, 2, 3)
    assert torch.equal(patches[0], features[0, :, :2, :3])
    assert torch.equal(patches[5], features[0, :, 2:4, 3:6])
    assert torch.equal(patches[31], features[1, :, 6:, 9:])
    assert torch.equal(tile(patches, 4), features)


def test_patches_keep_the_layout_of_the_features() -> None:
    features = torch.rand(2, 5, 8, 12)
    patches = cut(features.contiguous(memory_format=torch.channels_last), 4)
    assert patches.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(patches, cut(features, 4))
    assert cut(features, 4).is_contiguous()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_a_convolution_of_repeated_pixels_is_that_whatever_the_side(
    rows: int, columns: int, inside: int, outside: int, doubled: bool, seed: int
) -> None:
    """Against pixels repeated and convolved in float64, and so are its gradients."""
    with seeded(seed):
        layer = OfRepeated(inside, outside, 3, padding=1).double()
        features = torch.randn(2, inside, rows, columns, dtype=torch.float64, requires_grad=True)
    size = (2 * rows, 2 * columns) if doubled else (2 * rows + 1, 3 * columns)
    index = [torch.arange(side) * own // side for side, own in zip(size, (rows, columns), strict=True)]
    repeated = features[:, :, index[0]][:, :, :, index[1]]
    plain = F.conv2d(repeated, layer.weight, layer.bias, padding=1)
    found = layer(features, size)
    torch.testing.assert_close(found, plain)
    assert layer.bias is not None
    wanted = (features, layer.weight, layer.bias)
    own, theirs = (torch.autograd.grad(output.square().sum(), wanted) for output in (found, plain))
    for gradient, expected in zip(own, theirs, strict=True):
        torch.testing.assert_close(gradient, expected)


@torch.no_grad()
def test_pooled_features_are_mixed_with_the_features_themselves() -> None:
    with seeded(0):
        pooling, features = PyramidPooling(6).double(), torch.randn(2, 6, 12, 20, dtype=torch.float64)
    stretched = [F.interpolate(pool(features), (12, 20), mode="bilinear") for pool in pooling.pools]
    expected = F.relu(pooling.mix(torch.cat([*stretched, features], dim=1)))
    torch.testing.assert_close(pooling(features), expected)


@torch.no_grad()
def test_one_patch_leaves_nothing_to_cut() -> None:
    network = small(patch=SIZE)
    assert network.whole is not None and network.local is not None
    network.local.load_state_dict(network.whole.state_dict())
    whole, local = network(torch.rand(1, 1, SIZE, SIZE))
    assert torch.equal(whole, local)


def layers(width: int) -> dict[str, int]:
    """Parameters by the paper's description, counted with pencil and paper; a norm has two a channel."""

    def conv_norm(inside: int, outside: int, kernel: int) -> int:
        return kernel * kernel * inside * outside + 2 * outside

    def stage(inside: int, outside: int, blocks: int) -> int:
        change = conv_norm(inside, outside, 1) if inside != outside else 0
        return conv_norm(inside, outside, 3) + change + (2 * blocks - 1) * conv_norm(outside, outside, 3)

    w = width
    encoder = conv_norm(1, w, 3) + stage(w, w, 3) + stage(w, 2 * w, 4) + stage(2 * w, 4 * w, 6)
    pyramid = 4 * (8 * w) ** 2 + 5 * (8 * w) ** 2 + 8 * w
    decoder = 9 * w + 1
    for c in (4 * w, 2 * w, w):
        gate = 2 * (c * c // 2 + c // 2 + c) + c // 2 + 1 + 2
        decoder += conv_norm(2 * c, c, 3) + gate + conv_norm(2 * c, c, 3) + conv_norm(c, c, 3)
    return {"encoder": encoder + stage(4 * w, 8 * w, 3), "pooling": pyramid, "whole": decoder, "local": decoder}


@pytest.mark.parametrize("width", [4, 32])
def test_the_layers_are_the_papers(width: int) -> None:
    network = PrnNetwork(64, 8, width)
    found = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert found == layers(width)
    # Pyramid pooling has the released code's form, whose parameters were counted there.
    assert width != 32 or found["pooling"] == 590_080


@torch.no_grad()
def test_features_have_strides_1_2_4_8_and_double_in_width() -> None:
    levels = small().encode(torch.rand(1, 1, SIZE, SIZE))
    assert [tuple(level.shape[1:]) for level in levels] == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]


def test_a_smaller_patch_takes_no_more_memory() -> None:
    def saved(patch: int) -> int:
        held = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal held
            held += tensor.numel()
            return tensor

        network = small(patch).train()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            network(torch.rand(1, 1, SIZE, SIZE))
        return held

    # What backward keeps is the same pixels, cut otherwise.
    assert saved(8) <= saved(32) * 1.02


@pytest.mark.parametrize(
    ("size", "patch", "width", "message"),
    [
        (60, 20, 8, r"prn\[size=60\].*multiple of 8"),
        (8, 8, 8, r"prn\[size=8\].*at least 16"),
        (96, 18, 8, r"prn\[patch=18\].*8, 12, 16, 24, 32, 48, 96"),
        (64, 24, 8, r"prn\[patch=24\].*1, 2, 4, 8, 16, 32, 64"),
        (64, 0, 8, r"prn\[patch=0\]"),
        (64, 128, 8, r"prn\[patch=128\]"),
        (64, 8, 7, r"prn\[width=7\].*even"),
        (64, 8, 0, r"prn\[width=0\]"),
    ],
)
def test_sides_that_do_not_fit_are_the_users_to_fix(size: int, patch: int, width: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PrnNetwork(size, patch, width)


def test_patch_sides() -> None:
    assert patch_sides(24) == [1, 2, 3, 4, 6, 8, 12, 24]
