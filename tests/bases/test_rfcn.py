from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.bases.parts.saliency_prior import SaliencyPrior
from bench.bases.rfcn import Rfcn
from bench.bases.rfcn.network import Fcn8s, Fcn8sDecoder, FcnLite, RecurrentFcn, Variant
from bench.contracts import Sample, UserError
from bench.training.preprocessing import IMAGENET
from bench.training.profile import parameters


def build(variant: Variant = "lite", steps: int = 2) -> RecurrentFcn:
    torch.manual_seed(0)
    return Rfcn(variant=variant, size=64, steps=steps).network()


def images(count: int, side: int) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def eight() -> RecurrentFcn:
    return build("8s")


@pytest.mark.parametrize(("variant", "count"), [("8s", 134_272_006), ("lite", 14_756_421)])
def test_parameters_are_the_published_ones(variant: Variant, count: int) -> None:
    with torch.device("meta"):
        network = Rfcn(variant=variant).network()
        outputs = network(torch.zeros(2, 3, 256, 256))
        assert [tuple(logits.shape) for logits in outputs] == 2 * [(2, 1, 256, 256)]
        assert network.eval()(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert parameters(network) == count


def test_a_score_lies_in_the_middle_of_its_pixels() -> None:
    decoder = Fcn8sDecoder((1, 1, 1)).requires_grad_(False)
    for parameter in (
        *decoder.score.parameters(),
        *decoder.score_pool3.parameters(),
        *decoder.score_pool4.parameters(),
    ):
        parameter.fill_(1.0 if parameter.ndim == 4 else 0.0)
    sides = (32, 16, 8)
    for place, (side, stride) in enumerate(zip(sides, (8, 16, 32), strict=True)):
        levels = [torch.zeros(1, 1, other, other) for other in sides]
        row, column = side // 2, side // 2 - 1
        levels[place][0, 0, row, column] = 1
        response = decoder(*levels)
        assert response.shape == (1, 2, 256, 256)
        # Bilinear steps keep the sum, each four times the pixels, and the centre of gravity.
        for scores in response[0].double():
            assert scores.sum().item() == pytest.approx(stride**2)
            pixels = torch.arange(256, dtype=torch.float64) + 0.5
            assert (scores.sum(1) @ pixels / scores.sum()).item() == pytest.approx((row + 0.5) * stride)
            assert (scores.sum(0) @ pixels / scores.sum()).item() == pytest.approx((column + 0.5) * stride)


@pytest.mark.parametrize("network_class", [Fcn8s, FcnLite])
def test_a_mirrored_image_has_the_mirrored_map(network_class: type[Fcn8s] | type[FcnLite]) -> None:
    # With mirrored kernels this holds only if no layer, at any stride, shifts its result.
    torch.manual_seed(0)
    network = network_class().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.kernel_size != (1, 1):
            module.weight.copy_((module.weight + module.weight.flip(-1)) / 2)
            module.weight.copy_((module.weight + module.weight.flip(-2)) / 2)
    image = torch.cat([images(1, 64), torch.rand(1, 1, 64, 64)], 1)
    logits = network(image)
    scale = logits.std().item()
    assert scale > 0
    for axis in (-1, -2):
        torch.testing.assert_close(network(image.flip(axis)), logits.flip(axis), rtol=0, atol=1e-3 * scale)
        assert (logits.flip(axis) - logits).abs().max() > 0.5 * scale


@pytest.mark.parametrize("variant", ["8s", "lite"])
def test_a_step_is_fed_the_map_of_the_one_before(variant: Variant, request: pytest.FixtureRequest) -> None:
    network: RecurrentFcn = request.getfixturevalue("eight") if variant == "8s" else build()
    network.eval()
    image = images(1, 64)
    prior = SaliencyPrior("contrast", IMAGENET.mean, IMAGENET.std)(image)
    with torch.inference_mode():
        first = network.step(torch.cat([image, prior], 1))
        second = network.step(torch.cat([image, 1 / (1 + torch.exp(-first))], 1))
        torch.testing.assert_close(network(image), second, rtol=1e-4, atol=1e-5)
        assert (second - first).abs().max() > 1e-3 * first.std()


def test_the_foreground_logit_is_the_softmax_of_the_two_scores(eight: RecurrentFcn) -> None:
    step = eight.step.eval()
    scores = list[Tensor]()
    handle = step.decoder.register_forward_hook(lambda module, inputs, output: scores.append(output))
    with torch.inference_mode():
        logits = step(torch.cat([images(1, 32), torch.zeros(1, 1, 32, 32)], 1))
    handle.remove()
    torch.testing.assert_close(logits.sigmoid(), scores[0].softmax(1)[:, 1:])


def test_training_gives_out_every_step_the_last_first() -> None:
    network, image = build(steps=3), images(1, 32)  # no dropout in this one
    outputs = network(image)
    assert len(outputs) == 3
    assert torch.equal(outputs[0], network.eval()(image))
    network.steps = 1
    assert torch.equal(outputs[2], network(image))


def test_the_loss_sums_the_cross_entropy_of_the_steps() -> None:
    draw = torch.Generator().manual_seed(0)
    outputs = [torch.randn(2, 1, 5, 6, generator=draw) * 3 for _ in range(3)]
    mask = (torch.rand(2, 1, 5, 6, generator=draw) > 0.6).float()
    expected = 0.0
    for logits in outputs:
        probs = 1 / (1 + np.exp(-logits.double().numpy()))
        expected += -np.log(np.where(mask.numpy() > 0, probs, 1 - probs)).mean()
    assert Rfcn(size=64).loss(outputs, mask).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", ["8s", "lite"])
def test_the_gradient_reaches_every_tensor(variant: Variant, request: pytest.FixtureRequest) -> None:
    network: RecurrentFcn = request.getfixturevalue("eight") if variant == "8s" else build()
    network.train()
    torch.manual_seed(0)
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 10:40, 20:50] = 1
    Rfcn(size=64).loss(network(images(1, 64)), mask).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        parameter.grad = None


def test_the_gradient_passes_through_the_map_that_is_fed_back() -> None:
    network = build()
    last, first = network(images(1, 32))
    first.retain_grad()
    last.sum().backward()
    assert first.grad is not None
    assert first.grad.any()


def test_the_decoder_learns_ten_times_as_fast() -> None:
    base = Rfcn(size=64, variant="lite", lr=0.5)
    rest, decoder = base.groups(network := build())
    assert sum(parameter.numel() for parameter in decoder["params"]) == 41_157
    assert sum(parameter.numel() for parameter in rest["params"]) == parameters(network) - 41_157
    assert decoder["lr"] == 5.0
    assert "lr" not in rest


def test_vgg16s_weights_are_read_from_a_file(tmp_path: Path) -> None:
    eight = build("8s")
    shapes = {key: value.shape for key, value in eight.step.features.state_dict().items()}
    shapes["0.weight"] = torch.Size((64, 3, 3, 3))
    state = {f"features.{key}": torch.rand(shape) for key, shape in shapes.items()}
    torch.save(state, tmp_path / "features.pth")
    light = build()
    Rfcn(encoder_weights=tmp_path / "features.pth").pretrain(light)
    weights = light.step.features.get_parameter("0.weight")
    assert torch.equal(weights[:, :3], state["features.0.weight"])
    assert not weights[:, 3].any()
    # The classifier's first layer reads 512 maps of 7x7, flattened.
    hidden = torch.arange(25088.0).expand(4096, -1)
    state |= {"classifier.0.weight": hidden, "classifier.0.bias": torch.rand(4096)}
    state |= {"classifier.3.weight": torch.rand(4096, 4096), "classifier.3.bias": torch.rand(4096)}
    state |= {"classifier.6.weight": torch.rand(10, 4096), "classifier.6.bias": torch.rand(10)}
    torch.save(state, tmp_path / "vgg16.pth")
    Rfcn(encoder_weights=tmp_path / "vgg16.pth").pretrain(eight)
    assert isinstance(eight.step, Fcn8s)
    assert eight.step.fc6.weight[17, 3, 2, 5].item() == 3 * 49 + 2 * 7 + 5
    assert torch.equal(eight.step.fc7.weight[..., 0, 0], state["classifier.3.weight"])
    torch.save({**state, "classifier.0.weight": torch.rand(8, 8)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"of another shape weight \(8x8, not 4096x512x7x7\).*other\.pth"):
        Rfcn(encoder_weights=tmp_path / "other.pth").pretrain(eight)


def test_a_file_predicts_maps_of_each_images_size(tmp_path: Path) -> None:
    network = build()
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, tmp_path / "trained.pth")
    rng = np.random.default_rng(0)
    shapes = [(64, 64), (75, 33)]
    samples = [Sample(str(s), rng.integers(256, size=(*s, 3), dtype=np.uint8), np.zeros(s, bool)) for s in shapes]
    maps = Rfcn(weights=tmp_path / "trained.pth", variant="lite", size=64).predict(samples)
    assert [probs.shape for probs in maps] == shapes
    pixels = torch.from_numpy(samples[0].image.transpose(2, 0, 1)[None])
    with torch.inference_mode():
        expected = network.eval()(IMAGENET(pixels)).sigmoid()[0, 0].numpy()
    np.testing.assert_allclose(maps[0], expected, rtol=0, atol=1e-5)
    several = Rfcn(weights=tmp_path / "trained.pth", variant="lite", size=64, scales=(0.5, 1.0, 1.5)).predict(samples)
    assert [probs.shape for probs in several] == shapes
    assert not math.isclose(np.abs(several[0] - maps[0]).max(), 0)


def test_it_runs_at_least_once() -> None:
    with pytest.raises(UserError, match=r"steps=0.*use steps=2"):
        Rfcn(steps=0)
