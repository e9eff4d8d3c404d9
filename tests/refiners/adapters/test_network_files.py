"""A refining network's file gives what the network itself gives of inputs that were made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import Image, ProbabilityMap, UserError
from bench.images import resize
from bench.refiners.prn.fast_refiner import PrnFast, _Whole
from tests.refiners.adapters.files import FORMS, PLAIN, refiner, written
from tests.refiners.prn.test_fast import smeared

SIDE = 32

forms = pytest.mark.parametrize("form", FORMS)


def pair(rows: int = 40, columns: int = 56) -> tuple[Image, ProbabilityMap]:
    rng = np.random.default_rng(0)
    probs = rng.uniform(0.02, 0.98, (rows, columns)).astype(np.float32)
    return rng.integers(0, 256, (rows, columns, 3), np.uint8), probs


def planes(image: Image) -> Tensor:
    """``1x3xHxW`` in 0..1."""
    return torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float() / 255


def plane(probs: ProbabilityMap) -> Tensor:
    return torch.from_numpy(probs)[None, None]


def eager(module: nn.Module, *tensors: Tensor) -> np.ndarray:
    with torch.inference_mode():
        found: Tensor = module(*tensors)
    return found[0, 0].numpy()


class Two(nn.Module):
    """Of an image and a map in two inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(4, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, pixels: Tensor, prior: Tensor) -> Tensor:
        return self.last(self.first(torch.cat([pixels, prior], 1)).relu()).sigmoid()


class One(nn.Module):
    """Of whatever has so many channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sigmoid()


@pytest.fixture(scope="module")
def prn(tmp_path_factory: pytest.TempPathFactory) -> PrnFast:
    """prn-fast after an epoch, its correction at full strength whatever val says: what is tested is the plumbing."""
    found = PrnFast(size=SIDE, width=8, heads=2, encoder_weights="none", epochs=1, lr=4e-3)
    found.fit(smeared(8, seed=1), tmp_path_factory.mktemp("prn"))
    network = found._fitted()
    network.strength.fill_(1.0)
    torch.manual_seed(0)
    for head in network.heads:
        for weight in head.parameters():
            weight.data += 0.05 * torch.randn_like(weight)
    return found


@pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[] if form == "torchscript" else [pytest.mark.slow]) for form in FORMS]
)
def test_prn_fast_read_back_from_its_file_is_the_refiner_itself(form: str, prn: PrnFast, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(3)]
    maps = [rng.uniform(0, 1, (SIDE, SIDE)).astype(np.float32) for _ in images]
    own = prn.refine(images, maps)
    assert max(float(np.abs(one - probs).max()) for one, probs in zip(own, maps, strict=True)) > 0.01  # it corrects
    if form == "onnx":
        path = tmp_path / "prn.onnx"
        prn.export_onnx(path)
    else:
        whole = _Whole(prn._fitted(), prn.encoder)
        path = written(form, tmp_path, whole, torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE), free=False)
    raw: dict[str, Any] = {**PLAIN, "divide": "1", "size": SIDE, "inputs": "image/map"}
    for found, one in zip(refiner(form, path, **raw).refine(images, maps), own, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, one, atol=1e-5)


@forms
def test_image_and_map_apart_stacked_and_either_alone(form: str, tmp_path: Path) -> None:
    image, probs = pair()
    pixels, prior = planes(image), plane(probs)
    zeros = torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 16, 24)
    cases: dict[str, tuple[nn.Module, tuple[Tensor, ...], tuple[Tensor, ...]]] = {
        "image/map": (Two(), zeros, (pixels, prior)),
        "image+map": (One(4), (torch.cat(zeros, 1),), (torch.cat([pixels, prior], 1),)),
        "map+image": (One(4), (torch.cat(zeros, 1),), (torch.cat([prior, pixels], 1),)),
        "image": (One(3), zeros[:1], (pixels,)),
        "map": (One(1), zeros[1:], (prior,)),
        "map+map/image": (_Three(), (zeros[1].repeat(1, 2, 1, 1), zeros[0]), (prior.repeat(1, 2, 1, 1), pixels)),
    }
    for inputs, (module, examples, given) in cases.items():
        path = written(form, tmp_path, module, *examples)
        (found,) = refiner(form, path, inputs=inputs, **PLAIN).refine([image], [probs])
        np.testing.assert_allclose(found, eager(module, *given), atol=1e-5, err_msg=inputs)


class _Three(nn.Module):
    def forward(self, priors: Tensor, pixels: Tensor) -> Tensor:
        return (priors[:, :1] + 2 * priors[:, 1:] + pixels[:, 2:]) / 4


class SecondStage(nn.Module):
    """As two-stage vessel networks end: RGB in 0..1 and the first stage's logits, two poolings, two classes' logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.down, self.deep = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, rgb: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.down(torch.cat([rgb, logits], 1)).relu()
        coarse = self.deep(F.max_pool2d(fine, 4)).relu()
        whole = self.up(torch.cat([fine, F.interpolate(coarse, scale_factor=4.0)], 1))
        return logits, whole


@forms
def test_a_second_stage_of_vessels_needs_no_plug_in(form: str, tmp_path: Path) -> None:
    image, probs = pair(38, 57)  # no multiples of four
    module = SecondStage()
    path = written(form, tmp_path, module, torch.zeros(1, 3, 40, 60), torch.zeros(1, 1, 40, 60), multiple=4)
    options: dict[str, Any] = {"inputs": "image/map", "map_form": "logits", "output": 1, "activation": "softmax"}
    for padding, mode in (("edge", "edge"), ("reflect", "reflect"), ("zeros", "constant")):
        (found,) = refiner(form, path, multiple=4, padding=padding, **options, **PLAIN).refine([image], [probs])
        padded = np.pad(image, [(0, 2), (0, 3), (0, 0)], mode)  # type: ignore[call-overload]
        prior = np.pad(probs, [(0, 2), (0, 3)], mode)  # type: ignore[call-overload]
        logits = logit(prior.astype(np.float64).clip(1 / 131070, 1 - 1 / 131070)).astype(np.float32)
        with torch.inference_mode():
            whole = module(planes(padded), plane(logits))[1].softmax(1)[0, 1].numpy()
        np.testing.assert_allclose(found, whole[:38, :57], atol=1e-5, err_msg=padding)


class Fed(nn.Module):
    """Gives back what it is fed, as something between 0 and 1, and the largest logit that fits."""

    def forward(self, pixels: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        return prior / 1000 + 0.5, pixels / 1000 + 0.5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, lambda p: p),
        ({"map_form": "mask"}, lambda p: (p >= 0.5) * 1.0),
        ({"map_range": "255"}, lambda p: 255 * p),
        ({"map_range": "centred"}, lambda p: 2 * p - 1),
        ({"map_form": "mask", "map_range": "centred"}, lambda p: np.where(p >= 0.5, 1.0, -1.0)),
        ({"map_form": "mask", "map_range": "255"}, lambda p: np.where(p >= 0.5, 255.0, 0.0)),
        ({"map_form": "logits"}, lambda p: logit(p.astype(np.float64))),
    ],
)
def test_the_map_goes_in_as_it_is_said_to(options: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    image, probs = pair()
    path = written("exported", tmp_path, Fed(), torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 16, 24))
    (found,) = refiner("exported", path, **options, **PLAIN).refine([image], [probs])
    np.testing.assert_allclose((found - 0.5) * 1000, expected(probs), atol=1e-3)


def test_the_image_goes_in_as_it_is_said_to(tmp_path: Path) -> None:
    image, probs = pair()
    path = written("exported", tmp_path, Fed(), torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 16, 24))
    options: dict[str, Any] = {"output": 1, "foreground": 0, "divide": "1", "channels": "bgr"}
    (found,) = refiner("exported", path, mean=(10, 0, 0), std=(2, 1, 1), **options).refine([image], [probs])
    np.testing.assert_allclose((found - 0.5) * 1000, (image[..., 2] - 10.0) / 2, atol=1e-3)


def test_probabilities_of_zero_and_one_have_logits_that_a_map_of_16_bits_ends_at(tmp_path: Path) -> None:
    image, _ = pair(8, 8)
    path = written("exported", tmp_path, Fed(), torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 16, 24))
    hard = np.zeros((8, 8), np.float32)
    hard[:4] = 1
    (found,) = refiner("exported", path, map_form="logits", **PLAIN).refine([image], [hard])
    np.testing.assert_allclose(np.unique((found - 0.5) * 1000), [-np.log(131069), np.log(131069)], atol=1e-3)


class Shift(nn.Module):
    """What is to be added: the red channel, less a half."""

    def forward(self, pixels: Tensor, prior: Tensor) -> Tensor:
        return pixels[:, :1] - 0.5 + 0 * prior


@forms
def test_a_residual_is_added_to_the_map_or_to_its_logits(form: str, tmp_path: Path) -> None:
    image, probs = pair()
    path = written(form, tmp_path, Shift(), torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 16, 24))
    added = image[..., 0] / 255 - 0.5
    options: dict[str, Any] = {"inputs": "image/map", **PLAIN}
    (on_map,) = refiner(form, path, residual="map", **options).refine([image], [probs])
    np.testing.assert_allclose(on_map, np.clip(probs + added, 0, 1), atol=1e-5)
    (on_logits,) = refiner(form, path, residual="logits", **options).refine([image], [probs])
    np.testing.assert_allclose(on_logits, expit(logit(probs.astype(np.float64)) + added), atol=1e-5)
    (small,) = refiner(form, path, residual="map", size=16, **options).refine([image], [probs])
    shrunk = resize(image, 16, 16)[..., 0].astype(np.float32) / 255 - 0.5
    # The map keeps its own detail: what is added alone was small.
    np.testing.assert_allclose(small, np.clip(probs + resize(shrunk, *probs.shape), 0, 1), atol=1e-5)


class ChannelsLast(nn.Module):
    def forward(self, prior: Tensor, pixels: Tensor) -> Tensor:
        return (prior.float() + pixels[..., 1:2].float()) / 510


@pytest.mark.parametrize("form", ["onnx", "exported"])
def test_layout_type_and_order_are_the_files(form: str, tmp_path: Path) -> None:
    image, probs = pair()
    bytes_: dict[str, Any] = {"dtype": torch.uint8}
    examples = torch.zeros(1, 40, 56, 1, **bytes_), torch.zeros(1, 40, 56, 3, **bytes_)
    path = written(form, tmp_path, ChannelsLast(), *examples, free=False)
    (found,) = refiner(form, path).refine([image], [probs])
    np.testing.assert_allclose(found, (np.rint(255 * probs) + image[..., 1]) / 510, atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"size": 32, "multiple": 8}, "give one of the two"),
        ({"multiple": 0}, "multiple is 0"),
        ({"size": -1}, "size is -1"),
        ({"map_form": "logits", "map_range": "255"}, "logits have no range"),
        ({"residual": "map", "activation": "sigmoid"}, "leave one of the two out"),
        ({"inputs": "image/depth"}, "no such input 'depth'"),
        ({"inputs": "image/"}, "no such input ''"),
    ],
)
def test_parameters_that_do_not_go_together_are_said_when_it_is_made(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        refiner("onnx", Path("net.onnx"), **parameters)


@forms
def test_what_does_not_fit_the_file_is_said_before_an_image_is_read(form: str, tmp_path: Path) -> None:
    zeros = torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 16, 24)
    two = written(form, tmp_path, Two(), *zeros)
    stacked = written(form, _made(tmp_path / "stacked"), One(4), torch.cat(zeros, 1))
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (two, {"inputs": "image"}, r"inputs=image are 1, and the network's are 2: pixels.*prior"),
        (stacked, {}, r"unclear what goes in there.*inputs=image\+map"),
        (tmp_path / "absent", {}, "no such file"),
    ]
    if form == "torchscript":
        cases.append((two, {}, "unclear what goes in there.*inputs=image/map"))
    else:
        fixed = written(form, _made(tmp_path / "fixed"), One(1), zeros[1], free=False)
        cases += [
            (two, {"inputs": "map/image"}, r"its input pixels is float32 \(1, 3, any, any\).*one map at a time"),
            (fixed, {"size": 20}, r"size=20, and its input is 16x24.*leave size="),
            (fixed, {"multiple": 8}, r"multiple=8, and its input is 16x24.*leave multiple="),
        ]
    for path, options, says in cases:
        with pytest.raises(UserError, match=says) as caught:
            refiner(form, path, **options).check_files()
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class Broken(nn.Module):
    """NaN; 0..2; what is of no image's shape; whole numbers."""

    def forward(self, prior: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return prior * float("nan"), prior * 2, prior.mean(dim=(2, 3)), (prior > 0.5).long()


@forms
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, r"its output has \d+ NaN or infinite values"),
        ({"residual": "map"}, r"its output has \d+ NaN or infinite values"),
        ({"output": 1}, "are no probabilities.*activation=sigmoid"),
        ({"output": 2}, r"that output has shape \(1, 1\)"),
        ({"output": 3}, "a map of class numbers.*foreground="),
        ({"output": 3, "residual": "map"}, "whole numbers"),
        ({"output": 4}, "no output 4, the network has 4"),
    ],
)
def test_what_comes_out_wrong_is_said(form: str, options: dict[str, Any], says: str, tmp_path: Path) -> None:
    image, probs = pair()
    path = written(form, tmp_path, Broken(), torch.zeros(1, 1, 16, 24))
    with pytest.raises(UserError, match=says) as caught:
        refiner(form, path, inputs="map", **options).refine([image], [probs])
    assert "\n" not in str(caught.value) and path.name in str(caught.value)


@forms
def test_no_code_in_a_file_is_run(form: str, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[Path]]:
            return Path.touch, (tmp_path / "executed",)

    torch.save({"weight": Evil()}, tmp_path / FORMS[form][1])
    with pytest.raises(UserError, match="net"):
        refiner(form, tmp_path / FORMS[form][1]).check_files()
    assert not (tmp_path / "executed").exists()
