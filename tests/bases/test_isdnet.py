from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.models import resnet18

from bench.bases.isdnet import ISDNet
from bench.bases.isdnet.loss import isdnet_loss, similarity
from bench.bases.isdnet.network import ISDNetNetwork, Outputs, foreground, renamed
from bench.bases.isdnet.shallow import Detail
from bench.contracts import Split, UserError
from bench.training import save_weights, seeded
from tests.bases.goldens import golden
from tests.bases.usage import check_maps
from tests.toys import ToyDataset, roads


def small(**changes: Any) -> ISDNet:
    options: dict[str, Any] = {"encoder_weights": "none", "size": 64, "batch": 2, "precision": "32-true"}
    return ISDNet(**(options | changes))


def keep(module: nn.Module, into: dict[str, Tensor], *names: str) -> None:
    def hook(_module: nn.Module, _given: Any, output: Tensor | tuple[Tensor, ...]) -> None:
        into.update(zip(names, output if isinstance(output, tuple) else (output,), strict=True))

    module.register_forward_hook(hook)


@pytest.mark.parametrize("name", ["isdnet_r18", "isdnet_r18_large"])
@torch.inference_mode()
def test_it_computes_the_authors_network(shared: Path, name: str) -> None:
    reference = golden(shared, name)
    base = small()
    network = base.network().eval()
    assert len(reference.state) == 560 and len(base.adapt(reference.state)) == 440 == len(network.state_dict())
    network.load_state_dict(base.adapt(reference.state))
    middle: dict[str, Tensor] = {}
    for stage in range(4):
        keep(network.backbone.get_submodule(f"layer{stage + 1}"), middle, f"mid_backbone_{stage}")
    head = network.refine_head
    keep(network.decode_head, middle, "mid_deep_feat")
    keep(head.stdc_net, middle, "mid_shallow_0", "mid_shallow_1")
    for stride in (16, 8):
        keep(head.get_submodule(f"fuse{stride}"), middle, f"mid_fuse{stride}_1", f"mid_fuse{stride}_2")
    keep(head.conv_seg, middle, "mid_final_logits_s8")
    classes = network.class_logits(reference.inputs[0])
    # 20 times the rounding error of the reference itself.
    reference.check("out0", classes, atol=2e-4, rtol=1e-4)
    middle["mid_deep_logits"] = network.decode_head.classify(middle["mid_deep_feat"])
    for place, features in middle.items():
        reference.check(place, features, atol=2e-5 * max(1, features.std().item()), rtol=1e-4)
    assert len(middle) == 13
    logits = network(reference.inputs[0])
    torch.testing.assert_close(logits.sigmoid(), classes.softmax(dim=1)[:, 1:], atol=1e-6, rtol=0)


def test_parameters_are_those_of_the_authors_code_by_part() -> None:
    network = small().network()
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    expected = {"backbone": 11_195_744, "decode_head": 2_639_618, "refine_head": 3_795_533, "auxiliary_head": 147_714}
    assert {name: count for name, count in parts.items() if count} == expected
    assert sum(parts.values()) == 17_778_609
    head = network.refine_head
    idle = [head.sr_decoder, head.conv_seg_aux_16, head.conv_seg_aux_8, network.auxiliary_head]
    assert sum(p.numel() for module in idle for p in module.parameters()) == 554_569


def test_detail_is_opencvs_pyramid() -> None:
    image = np.random.default_rng(2).random((48, 64), np.float32)

    def expand(small: np.ndarray) -> np.ndarray:
        spread = np.zeros((2 * small.shape[0], 2 * small.shape[1]), np.float32)
        spread[::2, ::2] = 4 * small
        kernel = cv2.getGaussianKernel(5, 0)
        return cv2.sepFilter2D(spread, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)

    half = cv2.pyrDown(image)
    coarse = cv2.resize(half - expand(cv2.pyrDown(half)), (64, 48), interpolation=cv2.INTER_LINEAR)
    found = Detail()(torch.from_numpy(image)[None, None])[0].numpy()
    np.testing.assert_allclose(found, [image - expand(half), coarse], atol=2e-6)


def outputs(size: int = 64) -> Outputs:
    """Random outputs of the shapes that the network gives for an image of this side."""
    draw = torch.Generator().manual_seed(3)

    def some(channels: int, stride: int) -> Tensor:
        return torch.randn(2, channels, size // stride, size // stride, generator=draw, dtype=torch.float64)

    return Outputs(
        road=some(1, 1),
        deep=some(1, 32),
        aux16=some(1, 16),
        aux8=some(1, 8),
        stage=some(1, 32),
        detail=some(6, 1),
        restored=some(3, 2),
        deep_features=some(128, 32),
        fine_features=some(128, 2),
    )


def test_the_network_gives_those_shapes_in_training() -> None:
    with seeded(0):
        found = small().network().train()(torch.randn(2, 3, 64, 64))
    expected = {name: value.shape for name, value in dict[str, Any](outputs()).items()}
    assert {name: value.shape for name, value in found.items()} == expected
    assert next(iter(found)) == "road"


def test_the_loss_against_numpy() -> None:
    given = outputs()
    mask = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(4)) < 0.3

    def at(features: Tensor, side: int) -> np.ndarray:
        return F.interpolate(features, (side, side), mode="bilinear", align_corners=False).numpy()

    def entropy(logits: Tensor) -> float:
        # A softmax over background and road, whose logits differ by ours.
        classes = np.concatenate([0 * at(logits, 64), at(logits, 64)], axis=1)
        shares = np.exp(classes) / np.exp(classes).sum(axis=1, keepdims=True)
        return float(-np.log(np.where(mask.numpy(), shares[:, 1:], shares[:, :1])).mean())

    def alike(features: np.ndarray) -> np.ndarray:
        flat = features.reshape(2, 128, -1)
        flat = flat / (np.linalg.norm(flat, axis=2, keepdims=True) + 1e-6)
        return np.einsum("bci,bcj->bij", flat, flat)

    detail = given["detail"].numpy()
    parts = [
        *(entropy(logits) for logits in (given["road"], given["deep"], given["aux16"], given["aux8"])),
        0.4 * entropy(given["stage"]),
        0.1 * float(((at(given["restored"], 64) - detail[:, :3] - detail[:, 3:]) ** 2).mean()),
        float(np.abs(alike(given["deep_features"].numpy()) - alike(at(given["fine_features"], 2))).mean()),
    ]
    assert isdnet_loss(given, mask.double()).item() == pytest.approx(sum(parts), abs=1e-9)


def test_the_structure_moves_the_deep_features_alone() -> None:
    given = outputs()
    given["deep_features"].requires_grad_()
    given["fine_features"].requires_grad_()
    isdnet_loss(given, torch.zeros(2, 1, 64, 64, dtype=torch.float64)).backward()
    assert given["deep_features"].grad is not None and given["fine_features"].grad is None


def test_similarity_of_one_channel_is_the_outer_product() -> None:
    features = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
    torch.testing.assert_close(similarity(features), torch.tensor([[[0.36, 0.48], [0.48, 0.64]]]))
    # A channel as faint as what is added to its norm (here 5e-6 and 1e-6) counts less.
    faint = similarity(1e-6 * features.double())
    torch.testing.assert_close(faint, torch.tensor([[[9.0, 12.0], [12.0, 16.0]]]).double() / 36)
    assert not similarity(0 * features).any()


def test_the_foreground_logit_is_that_of_the_softmax() -> None:
    classes = torch.tensor([1.0, -0.5]).view(1, 2, 1, 1)
    assert foreground(classes).sigmoid().item() == pytest.approx(np.exp(-0.5) / (np.exp(1) + np.exp(-0.5)))


def trained(images: Tensor, gate: float) -> ISDNetNetwork:
    """A network after a backward pass."""
    base = small()
    with seeded(0):
        network = base.network().train()
        for fusion in (network.refine_head.fuse8, network.refine_head.fuse16):
            nn.init.constant_(fusion.g1, gate)
            nn.init.constant_(fusion.g2, gate)
        base.loss(network(images), (torch.rand(len(images), 1, 64, 64) < 0.4).float()).backward()
    return network


def test_gradients_reach_every_tensor() -> None:
    images = torch.randn(2, 3, 64, 64)

    def still(gate: float) -> set[str]:
        parameters = trained(images, gate).named_parameters()
        return {name for name, p in parameters if p.grad is None or not p.grad.abs().max() > 0}

    assert still(0.5) == set()
    # The gates start at zero and hold back what leads to them, until their own first step.
    gated = {name for name, _ in small().network().named_parameters() if "_mlp" in name}
    assert still(0.0) == gated and len(gated) == 16


def test_a_step_of_one_sample_trains() -> None:
    assert all(p.grad is not None for p in trained(torch.randn(1, 3, 64, 64), 0.5).parameters())


@pytest.mark.parametrize(("changes", "says"), [({"batch": 1}, "batch=2"), ({"size": 32}, "use 64")])
def test_a_training_without_statistics_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        small(**changes)


@pytest.mark.parametrize("own_stem", [True, False])
def test_imagenet_weights_reach_the_deep_branch(tmp_path: Path, own_stem: bool) -> None:
    """A file of OpenMMLab's v1c has the stem; torchvision's ResNet-18 has another one, which is left."""
    donor = small().network().backbone.state_dict() if own_stem else resnet18().state_dict()
    torch.save({name: torch.full_like(value, 3) for name, value in donor.items()}, tmp_path / "resnet18.pth")
    network = small().network()
    before = network.state_dict()["backbone.stem.0.weight"].clone()
    small(encoder_weights=tmp_path / "resnet18.pth").pretrain(network)
    state = network.backbone.state_dict()
    assert all((value == 3).all() for name, value in state.items() if not name.startswith("stem."))
    assert torch.equal(state["stem.0.weight"], torch.full_like(before, 3) if own_stem else before)


def test_augmentation_moves_image_and_mask_together() -> None:
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, 4:20, 8:24] = True
    pair = {"image": tv_tensors.Image(mask.expand(3, -1, -1).byte() * 200), "mask": tv_tensors.Mask(mask)}
    transform = small().augmentation()
    with seeded(1):
        found = [transform(pair) for _ in range(8)]
    for one in found:
        assert one["image"].dtype == torch.uint8 and one["mask"].dtype == torch.bool
        assert one["image"].shape == (3, 32, 32) and one["mask"].any()
        bright = one["image"].amax(dim=0, keepdim=True) > one["image"].max() // 2
        # But for a pixel of the edge, where the image is interpolated.
        assert (bright ^ one["mask"]).float().mean() < 0.1


def lines(split: Split) -> ToyDataset:
    return roads(split, rows=80, columns=90, reach=6)


TEST = lines("test").samples


def test_it_trains_with_a_last_step_of_one_sample_and_its_weights_load(tmp_path: Path) -> None:
    base = small(epochs=1)
    base.fit(lines("train"), lines("val"), tmp_path)
    given = small(weights=tmp_path / "weights.safetensors")
    for one, other, sample in zip(base.predict(TEST), given.predict(TEST), TEST, strict=True):
        assert one.shape == sample.mask.shape
        np.testing.assert_array_equal(one, other)


def test_the_authors_checkpoint_gives_maps_and_is_saved_without_second_names(shared: Path, tmp_path: Path) -> None:
    reference = golden(shared, "isdnet_r18")
    state = {f"module.{name}": value for name, value in reference.state.items()}
    torch.save({"meta": {"iter": 80000}, "state_dict": state}, tmp_path / "iter_80000.pth")
    maps = small(weights=tmp_path / "iter_80000.pth").predict(TEST)
    assert all(one.shape == sample.mask.shape for one, sample in zip(maps, TEST, strict=True))
    assert all(0 <= one.min() < one.max() <= 1 for one in maps)
    check_maps(small(weights=tmp_path / "iter_80000.pth"))
    network = small().network()
    network.load_state_dict(renamed(reference.state))
    save_weights(network, tmp_path / "ours.safetensors")
    for one, other in zip(maps, small(weights=tmp_path / "ours.safetensors").predict(TEST), strict=True):
        np.testing.assert_array_equal(one, other)
