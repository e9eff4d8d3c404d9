from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.models import vgg16

from bench.bases.parts.framing import framed
from bench.bases.parts.vgg import outputs_at
from bench.bases.pfan import Pfan
from bench.bases.pfan.augmentation import Brightness
from bench.bases.pfan.loss import edges
from bench.bases.pfan.network import TAPS, High, PyramidFeatureAttention
from bench.contracts import Sample, UserError
from tests.bases.goldens import Golden, golden


@pytest.fixture(scope="module")
def reference(shared: Path) -> Golden:
    return golden(shared, "pfan")


@pytest.fixture(scope="module")
def network() -> PyramidFeatureAttention:
    torch.manual_seed(0)
    return Pfan(size=64).network()


def cross_entropy(probs: np.ndarray, target: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(probs), -100), np.maximum(np.log1p(-probs), -100)
    return -(target * logs[0] + (1 - target) * logs[1])


@pytest.mark.parametrize(("high", "count"), [("3x3", 16_381_607), ("1x1", 16_184_999)])
def test_parameters_are_the_published_ones(high: High, count: int) -> None:
    with torch.device("meta"):
        network = Pfan(high=high).network().eval()
        assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_the_released_weights_give_the_released_maps(reference: Golden) -> None:
    network = Pfan().network().eval()
    network.load_state_dict(reference.state)
    (image,) = reference.inputs
    with torch.inference_mode():
        taps = outputs_at(network.vgg16, image, TAPS)
        reference.check("mid_vgg_conv3_3", taps[2], atol=9e-4)
        reference.check("mid_vgg_conv5_3", taps[4], atol=1e-3)
        reference.check("mid_cpfe5", network.cpfe_conv5_3(taps[4]), atol=7e-4)
        logits, regulariser = network.regularised(image)
        assert torch.equal(network(image), logits)
    reference.check("mid_logit", logits, atol=2e-5, rtol=1e-4)
    reference.check("out0", logits.sigmoid(), atol=2e-5)
    assert regulariser.item() == pytest.approx(reference.arrays["out1"].item(), abs=1e-6)


def test_a_released_file_predicts_maps_of_each_images_size(reference: Golden, tmp_path: Path) -> None:
    torch.save({f"module.{key}": value for key, value in reference.state.items()}, tmp_path / "authors.pth")
    rng = np.random.default_rng(0)
    samples = [
        Sample(str(shape), rng.integers(256, size=(*shape, 3), dtype=np.uint8), np.zeros(shape, bool))
        for shape in [(40, 60), (75, 33)]
    ]
    maps = Pfan(weights=tmp_path / "authors.pth", size=64).predict(samples)
    assert [probs.shape for probs in maps] == [(40, 60), (75, 33)]
    # The same, by hand: a square between zeros, which bears the image in its middle.
    square = np.zeros((60, 60, 3), np.uint8)
    square[10:50] = samples[0].image
    (whole,) = Pfan(weights=tmp_path / "authors.pth", size=64).predict([Sample("", square, np.zeros((60, 60), bool))])
    np.testing.assert_allclose(maps[0], whole[10:50], rtol=0, atol=1e-6)
    with pytest.raises(UserError, match=r"of another shape hl_conv1\.weight \(64x384x3x3, not 64x384x1x1\)"):
        Pfan(weights=tmp_path / "authors.pth", high="1x1").predict(samples)


def test_edges_are_where_a_pixel_exceeds_its_neighbours() -> None:
    probs = np.random.default_rng(0).random((5, 7))
    padded = np.pad(probs, 1)
    expected = np.zeros((5, 7))
    for row in range(5):
        for column in range(7):
            excess = 9 * probs[row, column] - padded[row : row + 3, column : column + 3].sum()
            expected[row, column] = max(0.0, np.tanh(excess))
    found = edges(torch.from_numpy(probs)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loss_is_the_published_one(precision: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 8, 9, generator=draw) * 3
    mask = (torch.rand(2, 1, 8, 9, generator=draw) > 0.6).float()
    mask[1] = 0
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        found = Pfan(size=64, foreground=1.5).loss((logits, torch.tensor(0.25)), mask)
    target, probs = mask.double().numpy(), 1 / (1 + np.exp(-logits.double().numpy()))
    whole = (cross_entropy(probs, target) * (1 + 0.5 * target)).mean()
    outline = cross_entropy(edges(torch.from_numpy(probs)).numpy(), edges(mask.double()).numpy()).mean()
    assert found.item() == pytest.approx(0.7 * whole + 0.3 * outline + 0.25, rel=1e-4)


def test_the_gradient_reaches_every_tensor_and_is_finite(network: PyramidFeatureAttention) -> None:
    outputs = network.train()(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, 10:40, 20:50] = 1
    Pfan(size=64).loss(outputs, mask).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_vgg16s_weights_are_read_from_a_file(network: PyramidFeatureAttention, tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in vgg16().features.state_dict().items()}
    draw = torch.Generator().manual_seed(0)
    state = {f"features.{key}": torch.rand(shape, generator=draw) for key, shape in shapes.items()}
    torch.save(state, tmp_path / "vgg16.pth")
    Pfan(encoder_weights=tmp_path / "vgg16.pth").pretrain(network)
    for key, value in network.vgg16.state_dict().items():
        assert torch.equal(value, state[f"features.{key}"])
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"missing 0\.bias, 2\.weight.*encoder_weights=.*other\.pth"):
        Pfan(encoder_weights=tmp_path / "other.pth").pretrain(network)


def test_an_odd_pixel_is_stretched_as_in_the_authors_code() -> None:
    """An image of 9 columns in 12 rows: one column of zeros on both sides, and 11 columns stretched to 12."""
    image = np.random.default_rng(0).integers(1, 256, size=(12, 9, 3), dtype=np.uint8)
    square = np.zeros((12, 11, 3), np.uint8)
    square[:, 1:10] = image
    np.testing.assert_array_equal(framed(image, 24, Pfan().resize), cv2.resize(square, (24, 24)))
    # An even number is padded as anywhere.
    np.testing.assert_array_equal(framed(image[:, :8], 24, "pad-alike"), framed(image[:, :8], 24, "pad"))


def test_brightness_multiplies_and_shifts() -> None:
    image = tv_tensors.Image(torch.tensor([0, 10, 100, 160, 255], dtype=torch.uint8).expand(3, 1, 5))
    for factor, shift, expected in ((1.5, -20, [0, 0, 130, 220, 255]), (0.5, 19, [19, 24, 69, 99, 146])):
        changed = Brightness().transform(image, {"factor": factor, "shift": shift})
        assert isinstance(changed, tv_tensors.Image) and changed.dtype == torch.uint8
        assert changed[:, 0].tolist() == 3 * [expected]  # 127.5 + 19 is 146.5: to the even one
    torch.manual_seed(0)
    drawn = [Brightness().make_params([]) for _ in range(500)]
    factors, shifts = [one["factor"] for one in drawn], {one["shift"] for one in drawn}
    assert 0.5 <= min(factors) < 0.51 and 1.49 < max(factors) < 1.5
    assert shifts == set(range(-20, 20))


def test_augmentation_moves_image_and_mask_alike() -> None:
    mask = torch.zeros(1, 64, 64)
    mask[:, 10:30, 15:50] = 1
    image = (mask.expand(3, -1, -1) * 200).byte()
    pipeline = Pfan(size=64).augmentation()
    overlaps = list[float]()
    moved = list[Tensor]()
    for seed in range(8):
        torch.manual_seed(seed)
        pair = pipeline({"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask.bool())})
        bright = pair["image"][:1].float() > pair["image"].float().max() / 2
        assert pair["image"].shape == (3, 64, 64)
        assert pair["mask"].shape == (1, 64, 64)
        overlaps.append(((bright & pair["mask"]).sum() / (bright | pair["mask"]).sum()).item())
        moved.append(pair["mask"])
    assert min(overlaps) > 0.85
    assert not any(torch.equal(first, second) for first, second in itertools.pairwise(moved))
