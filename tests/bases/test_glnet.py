"""GLNet computes what its authors' network does in its three modes, and trains them one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from bench.bases.glnet import GLNet
from bench.bases.glnet.loss import focal
from bench.bases.glnet.network import MODES, GLNetwork, frozen_copy, shrunk
from bench.bases.glnet.patches import PatchGrid
from bench.bases.glnet.pyramid import Backbone
from bench.contracts import UserError
from bench.training import seeded
from tests.bases.goldens import Golden, golden
from tests.bases.test_smp import TEST
from tests.bases.usage import check_maps, saved
from tests.toys import discs

GRID = PatchGrid(size=448, patch=252)
"""The reference's patches: tops and lefts 0 and 196."""


@pytest.fixture(scope="module")
def reference(shared: Path) -> Golden:
    return golden(shared, "glnet")


@torch.no_grad()
def test_it_computes_the_authors_network_in_its_three_modes(reference: Golden) -> None:
    small, patches = reference.inputs[0], reference.inputs[1][None]
    with torch.device("meta"):
        network = GLNetwork("local", patch=252)
    network = network.to_empty(device="cpu").eval()
    network.load_state_dict(reference.state)
    whole = network.whole(small)
    reference.check("mid_c5_global", whole.places[0][0], atol=6.8e-4)
    reference.check("out0", whole.logits, atol=1.1e-4, rtol=1e-4)
    found = network.local(small, patches, GRID)
    reference.check("out1", found["ensemble"], atol=1.6e-4, rtol=1e-4)
    reference.check("out2", found["local"], atol=1.7e-4, rtol=1e-4)
    assert found["distance"].item() == pytest.approx(reference.arrays["out3"].item(), abs=6e-5)
    # The reference's frozen copy has the same weights as the rest.
    network.enter("both")
    network.at_once = 3
    found = network.eval().both(small, patches, GRID)
    reference.check("out4", found["global"], atol=1.9e-4, rtol=1e-4)
    reference.check("out5", found["ensemble"], atol=2e-4, rtol=1e-4)


def test_the_authors_checkpoint_predicts(reference: Golden, tmp_path: Path) -> None:
    base = GLNet(weights=saved(tmp_path / "third.pth", reference.state), size=128, patch=96)
    check_maps(base)
    loaded = base.ready().state_dict()
    assert torch.equal(loaded["resnet_fixed.conv1.weight"], reference.state["resnet_global.conv1.weight"])
    assert torch.equal(loaded["fpn_fixed.classify.bias"], reference.state["fpn_global.classify.bias"])


def test_the_frozen_copy_comes_from_the_authors_first_file_where_it_is_given(tmp_path: Path) -> None:
    names = ("resnet_global.conv1.weight", "fpn_global.toplayer.bias", "fpn_global.toplayer_ext.bias")
    third, first = ({name: torch.full((2,), value) for name in names} for value in (3.0, 1.0))
    base = GLNet(global_weights=saved(tmp_path / "first.pth", first))
    added = base.adapt(third).items() - third.items()
    assert {(name, value[0].item()) for name, value in added} == {
        ("resnet_fixed.conv1.weight", 1.0),
        ("fpn_fixed.toplayer.bias", 1.0),
    }
    # Files of ours have it, and the other modes take none.
    ours = third | {"resnet_fixed.conv1.weight": torch.zeros(2)}
    assert base.adapt(ours) == ours
    assert GLNet(mode="local").adapt(third) == third


def test_parameters_and_description() -> None:
    described = GLNet().describe()
    assert described.parameters == 79_108_742
    assert described.multiply_adds > 1e12
    for mode in MODES:
        with torch.device("meta"):
            network = GLNet(mode=mode).network()
        trainable = [value.numel() for value in network.parameters() if value.requires_grad]
        held = [value.numel() for value in network.parameters() if not value.requires_grad]
        assert sum(trainable) == 79_108_742
        assert sum(held) == (28_041_794 if mode == "both" else 0)


TRAINED = {
    # Of the authors' code: the path of mode 1; both local parts and the ensemble; a ResNet and what is left of the
    # pyramid.
    "global": 28_041_794,
    "local": 23_508_032 + 13_774_850 + 18_434,
    "both": 23_508_032 + 18_299_394 - (28_041_794 - 23_508_032 - 9_218) + 18_434,
}


def test_a_stage_trains_its_parts_and_holds_the_others() -> None:
    base = GLNet(size=76, patch=64)
    with seeded(0):
        network = GLNetwork("global", patch=64)
        images, mask = torch.rand(2, 3, 76, 76), (torch.rand(2, 1, 76, 76) > 0.5).float()
    for mode in MODES:
        network.enter(mode)
        network.train().zero_grad()
        before = {name: value.clone() for name, value in network.named_buffers()}
        base.loss(network(images), mask).backward()
        learning = [value for value in network.parameters() if value.grad is not None]
        assert {id(value) for value in learning} == {id(value) for value in network.trained()}
        assert all(value.grad is not None and value.grad.count_nonzero() for value in learning)
        assert sum(value.numel() for value in learning) == TRAINED[mode]
        moved = [name for name, value in network.named_buffers() if not torch.equal(value, before[name])]
        assert {name.partition(".")[0] for name in moved} == {"resnet_local" if mode == "local" else "resnet_global"}


@pytest.mark.parametrize(("size", "offsets"), [(1024, [0, 258, 516]), (2448, list(range(0, 1941, 388))), (508, [0])])
def test_patches_of_the_authors_code(size: int, offsets: list[int]) -> None:
    assert PatchGrid(size, 508).offsets == offsets


@given(st.integers(51, 300), st.integers(0, 700))
def test_patches_cover_the_image_and_are_as_few_as_can_be(patch: int, more: int) -> None:
    offsets = PatchGrid(patch + more, patch).offsets
    steps = np.diff(offsets)
    assert offsets[0] == 0
    assert offsets[-1] == more
    # Offsets are rounded to pixels.
    assert all(0 < step <= patch - 50 + 1 for step in steps)
    if len(offsets) > 2:
        assert more / (len(offsets) - 2) > patch - 50 or (len(offsets) - 1) * patch < patch + more


@given(st.integers(8, 130), st.sampled_from([(448, 252), (1024, 508), (128, 96)]))
def test_a_patch_s_box_in_a_map_rounds_as_numpy_does(height: int, sizes: tuple[int, int]) -> None:
    grid = PatchGrid(*sizes)
    rows = torch.arange(height, dtype=torch.float32)[:, None].expand(1, 1, height, height)
    for top, left in grid.corners:
        first = int(np.round(top / grid.size * height))
        count = int(np.round(grid.patch / grid.size * height))
        expected = np.arange(height)[first : first + count]
        crop = grid.crop(rows, [(top, left)], (len(expected), 1))
        np.testing.assert_allclose(crop.flatten(), expected, atol=1e-4)


def test_what_is_cut_is_assembled_again() -> None:
    image = torch.rand(2, 1, 448, 448, generator=torch.Generator().manual_seed(0))
    patches = GRID.cut(image)[:, :, 0]
    assert torch.equal(patches[1, 1], image[1, 0, :252, 196:])
    torch.testing.assert_close(GRID.assemble(patches, "bilinear", average=True), image)
    counts = np.zeros((448, 448))
    for top, left in GRID.corners:
        counts[top : top + 252, left : left + 252] += 1
    summed = GRID.assemble(patches, "nearest", average=False)
    np.testing.assert_allclose(summed, image * counts, rtol=1e-5)
    np.testing.assert_array_equal(GRID.cover(image)[0, 0], counts)
    merged = torch.zeros(1, 1, 448, 448)
    GRID.paste(merged, GRID.corners, patches[0][:, None])
    np.testing.assert_allclose(merged, image[:1] * counts, rtol=1e-5)


@torch.no_grad()
def test_the_released_assembly_repeats_and_sums() -> None:
    with seeded(0):
        network = GLNetwork("local", patch=96).eval()
        images = torch.rand(1, 3, 128, 128)
    one = network(images)
    network.assembly = "released"
    other = network(images)
    # Upper left, a patch alone: each logit repeated in 4x4 pixels, and the same mean. Centre: all four overlap.
    assert torch.equal(other[..., 0:4, 4:8], other[..., :1, 4:5].expand(1, 1, 4, 4))
    torch.testing.assert_close(other[..., :28, :28].mean(), one[..., :28, :28].mean(), atol=0, rtol=0.05)
    torch.testing.assert_close(other[..., 40:88, 40:88].mean(), 4 * one[..., 40:88, 40:88].mean(), atol=0, rtol=0.05)


def test_the_loss_is_focal_in_every_stage() -> None:
    draw = np.random.default_rng(0)
    mask = draw.random((2, 1, 128, 128)) > 0.8
    base = GLNet(size=128, patch=96)
    patches = np.stack([mask[i, :, t : t + 96, x : x + 96] for i in (0, 1) for t in (0, 32) for x in (0, 32)])

    def expected(logits: np.ndarray, labels: np.ndarray) -> float:
        side = logits.shape[-1]
        nearest = ((np.arange(side) + 0.5) * labels.shape[-1] / side).astype(int)
        small = labels[:, 0][:, nearest][:, :, nearest]
        exponent = np.exp(logits)
        chosen = np.where(small, exponent[:, 1], exponent[:, 0]) / exponent.sum(1)
        return float(-((1 - chosen) ** 3 * np.log(chosen)).mean())

    whole = draw.normal(size=(2, 2, 24, 24))
    ensemble, local = draw.normal(size=(2, 8, 2, 24, 24))
    values = {
        "global": expected(whole, mask),
        "ensemble": expected(ensemble, patches),
        "local": expected(local, patches),
    }
    outputs = {"global": whole, "ensemble": ensemble, "local": local, "distance": np.array(2.0)}
    tensors = {name: torch.from_numpy(value) for name, value in outputs.items()}

    def loss(*names: str) -> float:
        return base.loss({name: tensors[name] for name in names}, torch.from_numpy(mask).double()).item()

    assert loss("global") == pytest.approx(values["global"])
    assert loss("ensemble", "local", "distance") == pytest.approx(values["ensemble"] + values["local"] + 0.15 * 2)
    assert loss("ensemble", "global") == pytest.approx(values["ensemble"] + values["global"])
    # As in the authors' code a probability is held in [1e-7, 1 - 1e-7].
    sure = torch.tensor([200.0, -200.0], dtype=torch.float64).view(1, 2, 1, 1).requires_grad_()
    wrong, right = (focal(sure, torch.full((1, 1, 1, 1), label)) for label in (1.0, 0.0))
    assert wrong.item() == pytest.approx(-((1 - 1e-7) ** 3) * np.log(1e-7))
    assert right.item() == pytest.approx(1e-7**3 * 1e-7, rel=1e-3)
    (gradient,) = torch.autograd.grad(wrong, sure)
    assert not gradient.any()


@pytest.mark.parametrize("sizes", [((150, 150), 64), ((131, 131), 130), ((64, 64), 64)])
def test_the_small_image_is_pillow_s(sizes: tuple[tuple[int, int], int]) -> None:
    (height, width), side = sizes
    image = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    found = shrunk(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, side)[0].permute(1, 2, 0) * 255
    off = np.abs(found.numpy() - expected)
    # Pillow's weights have 22 bits: a value halfway between two may go the other way. Rounded once, 14 to 20 % would.
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.015


def test_imagenet_weights_of_a_file_reach_both_branches(tmp_path: Path) -> None:
    with seeded(1):
        donor = Backbone().state_dict()
    torch.save({**donor, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet50.pth")
    network = GLNetwork("global")
    GLNet(mode="global", encoder_weights=tmp_path / "resnet50.pth").pretrain(network)
    for branch in (network.resnet_global, network.resnet_local):
        assert all(torch.equal(value, donor[name]) for name, value in branch.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": 256}, r"patch of 508 .* image of 256 \(size=256\): use patch=256"),
        ({"scales": (0.25, 1.0)}, "image of 256"),
        ({"patch": 50}, "patch=50"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        GLNet(**changes)


@pytest.mark.slow
def test_three_stages_train_hold_resume_and_load(tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": 76, "patch": 64, "epochs": 1, "batch": 3, "encoder_weights": "none"}
    base = GLNet(**options)
    base.fit(discs("train"), discs("val"), tmp_path)
    first, second, third = (
        load_file(folder / "weights.safetensors") for folder in (tmp_path / "stage1", tmp_path / "stage2", tmp_path)
    )
    part = {name: name.partition(".")[0] for name in third}
    for name, value in second.items():
        if part[name].endswith("_global"):
            assert torch.equal(value, first[name]), name
        if part[name].endswith("_local"):
            assert torch.equal(value, third[name]), name
    for name, value in frozen_copy(first).items():
        assert torch.equal(value, third[name]), name
    assert not torch.equal(first["resnet_local.conv1.weight"], second["resnet_local.conv1.weight"])
    assert not torch.equal(first["resnet_global.conv1.weight"], third["resnet_global.conv1.weight"])
    maps = base.predict(TEST[:1])
    # Loaded by a later call, as a file, and trained again from the second stage on.
    again, loaded = GLNet(**options), GLNet(**options, weights=tmp_path / "weights.safetensors")
    again.fit(discs("train"), discs("val"), tmp_path)
    (tmp_path / "moved").mkdir()
    (tmp_path / "stage1").rename(tmp_path / "moved" / "stage1")
    resumed = GLNet(**options)
    resumed.fit(discs("train"), discs("val"), tmp_path / "moved")
    for other in (again, loaded, resumed):
        np.testing.assert_array_equal(maps[0], other.predict(TEST[:1])[0])
