from __future__ import annotations

import copy
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.efficientlab import EfficientLab
from bench.bases.efficientlab.inner import BATCH, InnerLoop, cycled, outer_loss
from bench.bases.efficientlab.loss import criterion
from bench.bases.efficientlab.network import EfficientLab63, unit
from bench.contracts import UserError
from bench.training import seeded
from bench.training.preprocessing import IMAGENET
from tests.bases.few_shot import blobs
from tests.toys import ToyDataset

SIDE = 32


def small(dropout: float = 0.0) -> EfficientLab63:
    torch.manual_seed(0)
    return EfficientLab63(dropout)


def task(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=draw)
    return images, torch.rand(count, 1, SIDE, SIDE, generator=draw) > 0.5


def test_parameters() -> None:
    with torch.device("meta"):
        network = EfficientLab().network()
    assert isinstance(network, EfficientLab63)
    parts = (network.backbone, network.rsd4, network.rsd2, network.head)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [851_808, 703_472, 516_208, 226]
    trained = sum(p.numel() for p in network.parameters())
    statistics = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert trained == 2_071_714 and trained + statistics == 2_089_218
    description = EfficientLab().describe()
    assert description.parameters == 2_071_714 and description.multiply_adds > 1e9


def test_features_are_those_of_the_authors_code() -> None:
    network = small().eval()
    with torch.no_grad():
        shallow, deep = network.backbone(torch.zeros(1, 3, 224, 224))
        logits = network(torch.zeros(2, 3, 64, 64))
    assert shallow.shape == (1, 24, 56, 56) and deep.shape == (1, 112, 14, 14)
    assert logits.shape == (2, 1, 64, 64)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    rates = [block.drop_path for stage in network.backbone.blocks for block in stage]
    found = [getattr(rate, "drop_prob", 0.0) for rate in rates]
    assert found == pytest.approx([0.2 * index / 11 for index in range(11)])


def test_the_stem_pads_below_and_to_the_right() -> None:
    stem = small().backbone.conv_stem
    pixels = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(stem(pixels), F.conv2d(F.pad(pixels, (0, 1, 0, 1)), stem.weight, stride=2))


def test_batch_norm_comes_last_in_a_unit() -> None:
    torch.manual_seed(0)
    features = unit(4, 3, dilation=2)(torch.randn(8, 4, 16, 16))
    assert features.shape == (8, 112, 16, 16)
    torch.testing.assert_close(features.mean((0, 2, 3)), torch.zeros(112), atol=1e-5, rtol=0)


def test_the_logit_is_the_softmax_of_both_channels() -> None:
    network = small().eval()
    scores: list[Tensor] = []
    network.head.register_forward_hook(lambda module, given, found: scores.append(found))
    with torch.no_grad():
        probs = network(torch.randn(1, 3, 64, 64)).sigmoid()
    both = F.interpolate(scores[0], scale_factor=4, mode="bilinear", align_corners=True).softmax(1)
    torch.testing.assert_close(probs, both[:, 1:], atol=1e-6, rtol=1e-5)


def test_criterion_is_cross_entropy_minus_the_logarithm_of_dice() -> None:
    draw = np.random.default_rng(0)
    logits, mask = draw.normal(size=(3, 1, 8, 8)), (draw.random((3, 1, 8, 8)) > 0.7).astype(float)
    probs = 1 / (1 + np.exp(-logits))
    entropy = -np.mean(mask * np.log(probs) + (1 - mask) * np.log(1 - probs))
    soft = [((p * m).sum() + 1e-7) / ((p + m - p * m).sum() + 1e-7) for p, m in zip(probs, mask, strict=True)]
    mean_iou = np.mean(soft)
    expected = entropy - math.log(2 * mean_iou / (mean_iou + 1))
    assert float(criterion(torch.from_numpy(logits), torch.from_numpy(mask))) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 12), steps=st.integers(0, 9))
def test_batches_go_through_all_images_before_one_comes_again(count: int, steps: int) -> None:
    batches = cycled(count, steps)
    assert [len(batch) for batch in batches] == [BATCH] * steps
    drawn = [index for batch in batches for index in batch]
    for start in range(0, len(drawn) - count + 1, count):
        assert sorted(drawn[start : start + count]) == list(range(count))


def test_a_step_is_sgd_with_decay_but_for_batch_norm() -> None:
    images, masks = task(4)
    network = small().train()
    loop = InnerLoop(network, 0.1, IMAGENET, augment=False)
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    twin = copy.deepcopy(network)
    norms = [p for module in twin.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()]
    others = [p for p in twin.parameters() if not any(p is norm for norm in norms)]
    groups: list[dict[str, Any]] = [{"params": norms}, {"params": others, "weight_decay": 5e-4}]
    sgd = torch.optim.SGD(groups, lr=0.1)
    weights = loop.begin()
    for _ in range(2):
        with seeded(3):  # drop-connect
            weights, _ = loop.step(weights, buffers, images, masks)
        with seeded(3):
            criterion(twin(IMAGENET(images)), masks.float()).backward()
        sgd.step()
        sgd.zero_grad()
    for name, value in twin.named_parameters():
        torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(buffers, dict(twin.named_buffers()), atol=1e-5, rtol=1e-4)


def test_the_outer_gradient_is_minus_the_mean_update() -> None:
    """Two tasks, three steps each, against copies of the network that walk by themselves."""
    network = small().train()
    images, masks = (torch.stack(parts) for parts in zip(task(5), task(5, seed=1), strict=True))
    start = {name: value.detach().clone() for name, value in network.named_parameters()}
    statistics = {name: value.clone() for name, value in network.named_buffers()}
    expected = {name: torch.zeros_like(value) for name, value in start.items()}
    tails = []
    walker = copy.deepcopy(network)
    with seeded(5):
        for own, target in zip(images, masks, strict=True):
            walker.load_state_dict(start, strict=False)  # batch norm's statistics go on
            loop = InnerLoop(walker, 0.05, IMAGENET, augment=False)
            for chosen in cycled(3, 2):
                walker.load_state_dict(loop.step(loop.begin(), {}, own[chosen], target[chosen])[0], strict=False)
            before = {name: value.detach().clone() for name, value in walker.named_parameters()}
            after, tail = loop.step(loop.begin(), {}, own[3:], target[3:])
            tails.append(float(tail))
            for name in expected:
                expected[name] += (after[name].detach() - before[name]) / 2
    with seeded(5):
        loss = outer_loss(InnerLoop(network, 0.05, IMAGENET, augment=False), images, masks, shots=3, steps=3)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(np.mean(tails), rel=1e-4)
    for name, value in network.named_parameters():
        assert torch.equal(value, start[name])
        assert value.grad is not None
        torch.testing.assert_close(-value.grad, expected[name], atol=1e-6, rtol=1e-3)
    moved = dict(network.named_buffers())
    assert not torch.equal(moved["backbone.bn1.running_mean"], statistics["backbone.bn1.running_mean"])
    torch.testing.assert_close(dict(walker.named_buffers()), moved, atol=1e-4, rtol=1e-3)


def test_learning_a_class_leaves_the_network_alone() -> None:
    base = EfficientLab(size=SIDE, encoder_weights="none", inner_steps=2, inner_lr=0.01)
    network = small(0.5).eval()
    before = copy.deepcopy(network.state_dict())
    images, masks = task(3)
    with torch.no_grad():
        first, again = (base.episode_model(network, images, masks)(images) for _ in range(2))
        other = base.episode_model(network, images, ~masks)(images)
        unlearnt = network(IMAGENET(images)).sigmoid()
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, unlearnt)


def test_no_steps_answer_with_the_network_itself() -> None:
    base = EfficientLab(size=SIDE, encoder_weights="none", inner_steps=0)
    network, (images, masks) = small().eval(), task(3)
    with torch.no_grad():
        torch.testing.assert_close(
            base.episode_model(network, images, masks)(images), network(IMAGENET(images)).sigmoid()
        )


def test_steps_learn_the_support() -> None:
    (query,) = blobs("yak", seed=0, side=64, shots=4, pairs=5)
    images = torch.stack([torch.from_numpy(one.image).permute(2, 0, 1) for one in query.support])
    masks = torch.stack([torch.from_numpy(one.mask)[None] for one in query.support])
    loop = InnerLoop(small().train(), 0.05, IMAGENET, augment=False)
    weights, losses = loop.begin(), []
    for _ in range(12):
        weights, loss = loop.step(weights, {}, images, masks)
        losses.append(float(loss))
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_imagenet_weights_by_timms_names(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = timm.create_model("tf_efficientnet_b0")
    torch.save(whole.state_dict(), tmp_path / "b0.pth")
    base = EfficientLab(encoder_weights=tmp_path / "b0.pth")
    network = base.network()
    assert isinstance(network, EfficientLab63)
    base.pretrain(network)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        deep = network.eval().backbone(pixels)[1]
        features = whole.eval().bn1(whole.conv_stem(pixels))
        torch.testing.assert_close(deep, whole.blocks[:5](features))


def test_it_learns_and_answers(tmp_path: Path) -> None:
    train = ToyDataset([*blobs("yak", seed=0, shots=2, pairs=5), *blobs("ant", seed=1, shots=2, pairs=5)])
    val = ToyDataset(blobs("bee", seed=2, shots=2, pairs=4), "val")
    make = partial(EfficientLab, size=SIDE, shots=2, queries=2, inner_steps=1, train_steps=2)
    base = make(epochs=1, batch=2, encoder_weights="none")
    base.fit(train, val, tmp_path)
    maps = base.predict([val[0], val[1], train[0]])
    assert [found.shape for found in maps] == [(64, 64)] * 3
    again = make(weights=tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(again.predict([val[1]])[0], maps[1])


def test_parameters_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="inner_steps"):
        EfficientLab(inner_steps=-1)
    with pytest.raises(UserError, match="train_steps"):
        EfficientLab(train_steps=0)
    with pytest.raises(UserError, match="dropout"):
        EfficientLab(dropout=1.0)
