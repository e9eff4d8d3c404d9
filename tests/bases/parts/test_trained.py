"""What every trained base can do, shown on a small U-Net."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from bench.bases.parts.framing import framed, framed_mask, unframed
from bench.bases.parts.trained import TrainedBase
from bench.bases.resunetpp import ResUNetPlusPlus
from bench.bases.rfcn import Rfcn
from bench.bases.ssformer import SSFormer
from bench.bases.unet import UNet
from bench.contracts import Sample, UserError
from bench.training import save_weights, seeded
from tests.toys import ToyDataset


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained U-Net's weights: its maps vary from place to place, which is all that is needed here."""
    path = tmp_path_factory.mktemp("unet") / "weights.safetensors"
    with seeded(0):
        network = UNet(encoder="mobilenet_v2", size=64).network()
        save_weights(network, path)
    return path


def base(weights: Path, **changes: Any) -> UNet:
    options: dict[str, Any] = {"encoder": "mobilenet_v2", "size": 64, "precision": "32-true"}
    return UNet(weights=weights, **(options | changes))


def sample(rows: int, columns: int) -> Sample:
    image = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    return Sample("one", image, np.zeros((rows, columns), bool))


@pytest.mark.parametrize("options", [{}, {"resize": "pad"}, {"tile": 64}, {"tta": "turns"}, {"scales": (0.5, 1.0)}])
@pytest.mark.parametrize("size", [(64, 64), (70, 131), (20, 9), (1, 1)])
def test_maps_have_the_images_size_whatever_the_protocol(
    weights: Path, options: dict[str, Any], size: tuple[int, int]
) -> None:
    one = sample(*size)
    before = one.image.copy()
    (probs,) = base(weights, **options).predict([one])
    assert probs.shape == size and probs.dtype == np.float32
    assert probs.min() >= 0 and probs.max() <= 1
    np.testing.assert_array_equal(one.image, before)


def test_an_image_of_one_tile_gets_the_networks_own_map(weights: Path) -> None:
    one = sample(64, 64)
    whole, tile = base(weights).predict([one]), base(weights, tile=64).predict([one])
    np.testing.assert_allclose(whole[0], tile[0], atol=1e-6)


def test_flips_make_the_map_turn_with_the_image(weights: Path) -> None:
    one = sample(64, 64)
    flipped = Sample("two", np.ascontiguousarray(one.image[:, ::-1]), one.mask)
    for tta, same in (("none", False), ("flips", True), ("turns", True)):
        first, second = base(weights, tta=tta).predict([one, flipped])
        assert np.allclose(first, second[:, ::-1], atol=1e-5) == same
    turned = Sample("three", np.ascontiguousarray(np.rot90(one.image)), one.mask)
    first, second = base(weights, tta="turns").predict([one, turned])
    np.testing.assert_allclose(np.rot90(first), second, atol=1e-5)


def test_two_predictions_agree_and_leave_the_callers_random_state(weights: Path) -> None:
    network = base(weights)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again = network.predict([sample(40, 50)]), network.predict([sample(40, 50)])
    assert torch.equal(torch.rand(1), expected)
    np.testing.assert_array_equal(first[0], again[0])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": 0}, "use size=32"),
        ({"size": 70}, "use size=64"),
        ({"tile": 33}, "use tile=32"),
        ({"epochs": 0}, "use epochs=1 or more"),
        ({"batch": 0}, "use batch=1 or more"),
        ({"lr": 0.0}, "must be above 0"),
        ({"drop": 2.0}, "drop multiplies the rate"),
        ({"weight_decay": -1.0}, "cannot be negative"),
        ({"tile": 32}, "leaves no room"),
        ({"scales": ()}, "scales must be positive"),
        ({"scales": (1.0, -1.0)}, "scales must be positive"),
    ],
)
def test_parameters_that_cannot_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        UNet(**({"size": 64} | changes))


def test_a_checkpoint_of_another_network_is_named(weights: Path) -> None:
    with pytest.raises(UserError, match=r"missing encoder\..*unexpected encoder\..*weights\.safetensors"):
        UNet(encoder="resnet18", size=64, weights=weights).predict([sample(8, 8)])


@pytest.mark.parametrize("framing", ["stretch", "pad", "pad-alike"])
@pytest.mark.parametrize("size", [(30, 50), (50, 30), (41, 40), (64, 64), (5, 90)])
def test_a_framed_mask_comes_back_in_its_place(
    framing: Literal["stretch", "pad", "pad-alike"], size: tuple[int, int]
) -> None:
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = (columns >= size[1] // 2) & (rows >= size[0] // 3)
    side = 320
    back = unframed(framed_mask(mask, side, framing).astype(np.float32), size, framing)
    assert back.shape == size
    # Off the edge by two pixels nothing is mixed.
    inner = np.zeros(size, bool)
    inner[:, max(0, size[1] // 2 - 2) : size[1] // 2 + 2] = True
    inner[max(0, size[0] // 3 - 2) : size[0] // 3 + 2] = True
    np.testing.assert_array_equal(back[~inner] >= 0.5, mask[~inner])


def triangle(image: np.ndarray, side: int, widened: bool) -> np.ndarray:
    """Bilinear by hand, rows and then columns: each result is a mean of the pixels by their distance from its centre.

    Args:
        widened: the triangle is as wide as the step from result to result (Pillow); else two pixels (OpenCV).
    """
    for axis in (1, 0):
        count = image.shape[axis]
        step = count / side
        width = max(1.0, step) if widened else 1.0
        centres = (np.arange(side) + 0.5) * step - 0.5
        weights = np.maximum(0, 1 - np.abs(np.arange(count) - centres[:, None]) / width)
        image = np.moveaxis(np.tensordot(weights / weights.sum(1, keepdims=True), image, (1, axis)), 0, axis)
    return image


@pytest.mark.parametrize("size", [(150, 90), (61, 200)])
@pytest.mark.parametrize(("interpolation", "widened"), [("cv2-bilinear", False), ("pil-bilinear", True)])
def test_interpolations_are_what_they_are_called(size: tuple[int, int], interpolation: Any, widened: bool) -> None:
    image = sample(*size).image
    found = framed(image, 40, "stretch", interpolation).astype(float)
    np.testing.assert_allclose(found, triangle(image.astype(float), 40, widened), rtol=0, atol=1.01)
    assert np.abs(found - framed(image, 40, "stretch")).mean() > 2
    assert np.abs(found - triangle(image.astype(float), 40, not widened)).mean() > 2


def test_a_file_of_the_authors_is_fed_as_they_do_and_one_of_ours_as_it_was_trained(tmp_path: Path) -> None:
    def make(weights: Path | None = None, **options: Any) -> ResUNetPlusPlus:
        return ResUNetPlusPlus(weights=weights, size=64, epochs=1, batch=2, precision="32-true", **options)

    one = sample(150, 150)
    two = ToyDataset(Sample(name, one.image, one.image[..., 0] > 128) for name in ("a", "b"))
    trained = make()
    trained.fit(two, two, tmp_path)
    ours, theirs = tmp_path / "weights.safetensors", tmp_path / "theirs.pth"
    torch.save(trained.ready().state_dict(), theirs)

    def probs(base: ResUNetPlusPlus) -> np.ndarray:
        return base.predict([one])[0]

    np.testing.assert_array_equal(probs(make(ours)), probs(trained))
    np.testing.assert_array_equal(probs(make(theirs)), probs(make(ours, interpolation="cv2-bilinear")))
    np.testing.assert_array_equal(probs(make(theirs, interpolation="area")), probs(trained))
    assert np.abs(probs(make(theirs)) - probs(trained)).max() > 1e-4
    # What was trained with another one says so, too.
    other = make(interpolation="pil-bilinear")
    other.fit(two, two, tmp_path / "other")
    assert make(tmp_path / "other" / "weights.safetensors").resized_by == "pil-bilinear"


@pytest.mark.parametrize(("base", "expected"), [(SSFormer, "pil-bilinear"), (Rfcn, "pil-bilinear"), (UNet, "area")])
def test_each_authors_interpolation(base: Callable[..., TrainedBase], expected: str, tmp_path: Path) -> None:
    assert base().resized_by == "area"
    torch.save({}, tmp_path / "theirs.pth")
    assert base(weights=tmp_path / "theirs.pth").resized_by == expected


def test_padding_keeps_proportions_and_is_black_background() -> None:
    image = np.full((20, 40, 3), 255, np.uint8)
    square = framed(image, 40, "pad")
    assert (square[:10] == 0).all() and (square[10:30] == 255).all() and (square[30:] == 0).all()
    assert not framed_mask(np.ones((20, 40), bool), 40, "pad")[:10].any()


@pytest.mark.parametrize("augment", ["recipe", "turns", "none"])
def test_crops_and_augmentations_train(augment: str, tmp_path: Path) -> None:
    one = sample(48, 60)
    two = ToyDataset(Sample(name, one.image, one.image[..., 0] > 128) for name in ("a", "b"))
    options: dict[str, Any] = {"encoder_weights": "none", "precision": "32-true", "augment": augment}
    network = UNet(encoder="mobilenet_v2", size=64, crop=32, epochs=1, batch=2, **options)
    network.fit(two, two, tmp_path)
    (probs,) = network.predict([sample(30, 20)])
    assert probs.shape == (30, 20)
