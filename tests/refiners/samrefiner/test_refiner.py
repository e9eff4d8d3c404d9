"""The model is tiny and of random weights: these tests tell that it is asked the right way, not how well it answers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from transformers import SamImageProcessor, SamModel, SamProcessor, SegformerConfig, SegformerModel

from bench.contracts import Image, ProbabilityMap, UserError
from bench.refiners.samrefiner import SamRefiner
from bench.refiners.samrefiner.model import Segmenter
from bench.refiners.samrefiner.prompts import prompts_for
from bench.refiners.samrefiner.refiner import question_of
from tests.refiners.samrefiner.tiny import SIDE, tiny_sam


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sam(tmp_path_factory.mktemp("sam"))


@pytest.fixture
def scene() -> tuple[Image, ProbabilityMap]:
    """An image wider than high, with a map of a disc, read-only."""
    draw = np.random.default_rng(0)
    rows, columns = np.ogrid[:60, :90]
    probs = 1 / (1 + np.exp(np.hypot(rows - 25, columns - 40) - 15))
    image = (draw.random((60, 90, 3)) * 80 + 170 * (probs[:, :, None] > 0.5)).astype(np.uint8)
    probs = probs.astype(np.float32)
    for array in (image, probs):
        array.setflags(write=False)
    return image, probs


def processor() -> Any:
    images = SamImageProcessor(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})
    return SamProcessor(images)


def test_prompts_arrive_in_the_models_square(folder: Path, scene: tuple[Image, ProbabilityMap]) -> None:
    """As transformers' own processor places points and boxes; the mask, which it leaves to us, on the same square."""
    image, probs = scene
    segmenter = Segmenter(str(folder), "main", "cpu")
    seen = segmenter.look(image)
    prompts = prompts_for(probs >= 0.5, points=2, negatives=1, gamma=4.0, margin=0.0)
    inputs = segmenter.inputs(seen, question_of(segmenter, seen, prompts, 30.0))
    theirs = processor()(
        images=image.copy(),
        input_points=[[prompts.points.tolist()]],
        input_labels=[[prompts.labels.tolist()]],
        input_boxes=[[prompts.box.tolist()]],
        return_tensors="pt",
    )
    for name in ("input_points", "input_labels", "input_boxes"):
        assert inputs[name].shape == theirs[name].shape
        np.testing.assert_allclose(inputs[name].numpy(), theirs[name].numpy(), rtol=1e-6)
    mask = inputs["input_masks"].numpy()[0, 0]
    assert mask.shape == (32, 32)
    # The disc's centre (25, 40) and radius 15 of 60 x 90 pixels, on a square of 32 that 90 pixels fill.
    rows, columns = np.ogrid[:32, :32]
    distance = np.hypot((rows + 0.5) * 90 / 32 - 25.5, (columns + 0.5) * 90 / 32 - 40.5)
    assert (mask[distance > 18] == -30).all() and (mask[distance < 12] > 0).all()
    assert mask.max() == pytest.approx(30, rel=0.05) and mask.argmax() == distance.argmin()


def test_one_round_is_one_call_of_the_model(folder: Path, scene: tuple[Image, ProbabilityMap]) -> None:
    image, probs = scene
    coarse = probs >= 0.5
    (rows, columns) = np.nonzero(coarse)
    segmenter = Segmenter(str(folder), "main", "cpu")
    prompts = prompts_for(coarse, points=1, negatives=1, gamma=4.0, margin=0.0)
    seen = segmenter.look(image)
    masks = segmenter.inputs(seen, question_of(segmenter, seen, prompts, 30.0))["input_masks"]
    given = processor()(
        images=image.copy(),
        input_points=[[prompts.points.tolist()]],
        input_labels=[[prompts.labels.tolist()]],
        input_boxes=[[[columns.min(), rows.min(), columns.max(), rows.max()]]],
        return_tensors="pt",
    )
    sizes = given.pop("original_sizes"), given.pop("reshaped_input_sizes")
    given = {name: value.float() if value.is_floating_point() else value for name, value in given.items()}
    with torch.inference_mode():
        answer = SamModel.from_pretrained(folder).eval()(**given, input_masks=masks)
    (logits,) = processor().post_process_masks(answer.pred_masks, *sizes, binarize=False)
    expected = torch.sigmoid(logits[0]).numpy()
    assert np.ptp(expected) > 0.05 and np.abs(expected[0] - expected[1]).max() > 0.05
    ious = [((one >= 0.5) & coarse).sum() / ((one >= 0.5) | coarse).sum() for one in expected]
    best = {"predicted": int(answer.iou_scores[0, 0].argmax()), "coarse": int(np.argmax(ious))}
    assert best["predicted"] != best["coarse"]
    for select in ("predicted", "coarse"):
        (result,) = SamRefiner(model=folder, rounds=1, select=select).refine([image], [probs])
        np.testing.assert_allclose(result, expected[best[select]], atol=1e-5)


def test_more_rounds_ask_about_the_last_answer(folder: Path, scene: tuple[Image, ProbabilityMap]) -> None:
    image, probs = scene
    options: dict[str, Any] = {"model": folder, "regions": 1}
    results = [SamRefiner(**options, rounds=rounds).refine([image], [probs])[0] for rounds in (1, 2, 3)]
    assert np.abs(results[1] - results[0]).max() > 1e-3
    # The second round of the map is the first round of the first round's mask, where that is one region.
    first = (results[0] >= 0.5).astype(np.float32)
    segmenter = Segmenter(str(folder), "main", "cpu")
    prompts = prompts_for(first > 0, points=1, negatives=1, gamma=4.0, margin=0.0)
    seen = segmenter.look(image)
    logits, scores = segmenter.ask(seen, question_of(segmenter, seen, prompts, 30.0))
    np.testing.assert_allclose(results[1], 1 / (1 + np.exp(-logits[scores.argmax()])), atol=1e-5)


def test_each_parameter_reaches_the_model(folder: Path, scene: tuple[Image, ProbabilityMap]) -> None:
    image, probs = scene
    (plain,) = SamRefiner(model=folder, rounds=1).refine([image], [probs])
    for option in ({"points": 3}, {"negatives": 0}, {"gamma": 0.5}, {"strength": 2.0}):
        (result,) = SamRefiner(model=folder, rounds=1, **option).refine([image], [probs])
        assert np.abs(result - plain).max() > 1e-5, option


def test_the_box_grows_where_features_are_alike(folder: Path, scene: tuple[Image, ProbabilityMap]) -> None:
    grey, probs = np.full((60, 90, 3), 100, np.uint8), scene[1]  # all of it looks alike
    coarse = probs >= 0.5
    (tight,), (grown,) = (SamRefiner(model=folder, rounds=1, margin=m).refine([grey], [probs]) for m in (0.0, 0.5))
    assert np.abs(tight - grown).max() > 1e-5
    segmenter = Segmenter(str(folder), "main", "cpu")
    seen = segmenter.look(grey)
    similar = segmenter.similar(seen, coarse, 0.5)
    assert similar.shape == coarse.shape and similar.mean() > 0.9
    prompts = prompts_for(coarse, points=1, negatives=1, gamma=4.0, margin=0.5, similar=similar)
    # The mask prompt of a box that grew is a weak one.
    logits, scores = segmenter.ask(seen, question_of(segmenter, seen, prompts, 1.0))
    np.testing.assert_allclose(grown, 1 / (1 + np.exp(-logits[scores.argmax()])), atol=1e-5)


def test_look_alikes_have_the_regions_mean_feature(folder: Path, scene: tuple[Image, ProbabilityMap]) -> None:
    """On a square image of the model's own size: feature cells of 16 x 16 pixels, and regions of whole cells."""
    image = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    region = np.zeros((SIDE, SIDE), bool)
    region[32:64, 48:64] = True
    segmenter = Segmenter(str(folder), "main", "cpu")
    seen = segmenter.look(image)
    features = seen.features[0].numpy()
    mean = features[:, 2:4, 3].mean(axis=1)
    cosine = np.einsum("cij,c->ij", features, mean) / np.linalg.norm(features, axis=0) / np.linalg.norm(mean)
    least = float(np.median(cosine))
    # Interpolated values at the middle of four pixels around a cell's centre are nearly the cell's own.
    found = segmenter.similar(seen, region, least)[8::16, 8::16]
    clear = np.abs(cosine - least) > 0.1 * np.ptp(cosine)
    assert clear.sum() > 20
    np.testing.assert_array_equal(found[clear], (cosine > least)[clear])


def test_every_region_is_asked_about_and_the_rest_is_kept(folder: Path) -> None:
    image = np.random.default_rng(3).integers(0, 256, (50, 120, 3), np.uint8)
    left, right = np.zeros((2, 50, 120), np.float32)
    left[10:30, 5:30], right[20:35, 90:110] = 0.9, 0.8
    one, two, both = SamRefiner(model=folder).refine([image] * 3, [left, right, left + right])
    np.testing.assert_allclose(both, np.maximum(one, two), atol=1e-6)
    (largest,) = SamRefiner(model=folder, regions=1).refine([image], [left + right])
    np.testing.assert_allclose(largest, np.maximum(one, right), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (1, 999), (3, 2), (37, 61), (200, 150)])
@pytest.mark.parametrize("fill", [0.0, 1.0, None])
def test_any_map_comes_back_whole(shape: tuple[int, int], fill: float | None, folder: Path) -> None:
    draw = np.random.default_rng(5)
    probs = draw.random(shape).astype(np.float32) if fill is None else np.full(shape, fill, np.float32)
    image = np.full((*shape, 3), 128, np.uint8)
    for array in (probs, image):
        array.setflags(write=False)
    refiner = SamRefiner(model=folder, margin=0.1)
    (result,) = refiner.refine([image], [probs])
    assert result.dtype == np.float32 and result.shape == shape
    assert result.min() >= 0 and result.max() <= 1  # NaN would fail
    if fill == 0 or shape == (1, 1):
        np.testing.assert_array_equal(result, probs)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(refiner)).refine([image], [probs])[0], result)


def test_what_is_no_model_is_said_in_one_line(
    folder: Path, tmp_path: Path, scene: tuple[Image, ProbabilityMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, probs = scene
    (tmp_path / "empty").mkdir()
    SegformerModel(
        SegformerConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1])
    ).save_pretrained(tmp_path / "segformer")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "torn" / "model.safetensors").write_bytes(b"torn")
    part = SamModel.from_pretrained(folder)
    state = {name: value for name, value in part.state_dict().items() if not name.startswith("mask_decoder")}
    part.save_pretrained(tmp_path / "part", state_dict=state)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    cases: dict[Path | str, str] = {
        tmp_path / "empty": "empty",
        tmp_path / "segformer": "type 'segformer'.*sam2",
        tmp_path / "torn": "torn",
        tmp_path / "part": "no weights for mask_decoder",
        str(tmp_path / "missing"): "missing",
        "facebook/sam-vit-base": "cannot be downloaded.*hf download facebook/sam-vit-base .*model=FOLDER",
    }
    for model, says in cases.items():
        with pytest.raises(UserError, match=says) as caught:
            SamRefiner(model=model).refine([image], [probs])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": 0},
        {"negatives": -1},
        {"rounds": 0},
        {"regions": 0},
        {"gamma": 0.0},
        {"strength": -1},
        {"margin": 1.0},
    ],
)
def test_parameters_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        SamRefiner(**wrong)
