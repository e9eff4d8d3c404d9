"""SAM, SAM-HQ, SAM 2 and SAM 3's tracker, tiny and of random weights: asked as transformers itself would ask them.

Expected values come from transformers' own processor and model of each family, called with the whole image at once.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import huggingface_hub.constants
import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from transformers import (
    Sam2ImageProcessor,
    Sam2Processor,
    Sam3ImageProcessor,
    Sam3TrackerProcessor,
    SamHQProcessor,
    SamImageProcessor,
    SamModel,
    SamProcessor,
)

from bench.contracts import Image, ProbabilityMap, PubliclyTrained, UserError
from bench.refiners.sam import Sam
from bench.refiners.samrefiner import SamRefiner
from bench.refiners.samrefiner.model import Question, Segmenter
from bench.training import hub
from tests.refiners.samrefiner.tiny import KINDS, SIDE, SIDE_3, tiny, tiny_video


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: tiny(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture
def scene() -> tuple[Image, ProbabilityMap]:
    """An image wider than high, with a map of a disc around row 25 and column 40, read-only."""
    draw = np.random.default_rng(0)
    rows, columns = np.ogrid[:60, :90]
    probs = 1 / (1 + np.exp(np.hypot(rows - 25, columns - 40) - 15))
    image = (draw.random((60, 90, 3)) * 80 + 170 * (probs[:, :, None] > 0.5)).astype(np.uint8)
    probs = probs.astype(np.float32)
    for array in (image, probs):
        array.setflags(write=False)
    return image, probs


def processor(kind: str) -> Any:
    """transformers' own for the family."""
    if kind in ("sam", "sam_hq"):
        images = SamImageProcessor(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})
        return (SamProcessor if kind == "sam" else SamHQProcessor)(images)
    side = SIDE_3 if kind == "sam3_tracker" else SIDE
    square = {"height": side, "width": side}
    if kind == "sam2":
        return Sam2Processor(Sam2ImageProcessor(size=square))
    return Sam3TrackerProcessor(Sam3ImageProcessor(size=square))


def answered(kind: str, folder: Path, image: Image, question: Question, multimask: bool) -> tuple[Any, Any]:
    """Logits ``(K, H, W)`` and the IoU believed ``(K,)``, by transformers alone."""
    ours = processor(kind)
    prompts: dict[str, Any] = {}
    if len(question.points):
        prompts |= {"input_points": [[question.points.tolist()]], "input_labels": [[question.labels.tolist()]]}
    if question.box is not None:
        prompts["input_boxes"] = [[question.box.tolist()]]
    given = dict(ours(images=image.copy(), **prompts, return_tensors="pt"))
    sizes = [given.pop(name) for name in ("original_sizes", "reshaped_input_sizes") if name in given]
    given = {name: value.float() if value.is_floating_point() else value for name, value in given.items()}
    masks = {} if question.mask is None else {"input_masks": torch.from_numpy(question.mask)[None, None].float()}
    with torch.inference_mode():
        answer = KINDS_MODEL[kind].from_pretrained(folder).eval()(**given, **masks, multimask_output=multimask)
    (logits,) = ours.post_process_masks(answer.pred_masks, *sizes, binarize=False)
    return logits[0].numpy(), answer.iou_scores[0, 0].numpy()


KINDS_MODEL = {kind: type(make()) for kind, make in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_is_put_as_transformers_puts_it(
    kind: str, folders: dict[str, Path], scene: tuple[Image, ProbabilityMap]
) -> None:
    image, _ = scene
    segmenter = Segmenter(str(folders[kind]), "main", "cpu")
    seen = segmenter.look(image)
    points, labels = np.array([[40.0, 25.0], [10.0, 50.0]]), np.array([1, 0])
    mask = segmenter.on_square(np.full((60, 90), 3, np.float32), seen, fill=-7.0)
    assert mask.shape == (32, 32)
    padding = mask == -7
    # 60 x 90 pixels on 32 x 32: SAM and SAM-HQ leave a third of the rows empty, the later ones nothing.
    assert padding[22:].all() and not padding[:21].any() if kind in ("sam", "sam_hq") else not padding.any()
    for question in (
        Question(points, labels, np.array([25.0, 10, 55, 40]), mask),
        Question(points[:1], labels[:1], None, None),
        Question(points[:0], labels[:0], np.array([25.0, 10, 55, 40]), None),
        Question(points[:1], labels[:1], None, mask),
    ):
        for single in (True, False):
            found, believed = segmenter.ask(seen, question, single=single)
            expected, expected_belief = answered(kind, folders[kind], image, question, not single)
            assert found.shape == expected.shape == (1 if single else 3, 60, 90)
            np.testing.assert_allclose(found, expected, atol=1e-4)
            np.testing.assert_allclose(believed, expected_belief, atol=1e-5)
            assert np.ptp(found) > 1e-3  # a model that answers nothing would agree with itself


@pytest.mark.parametrize("kind", KINDS)
def test_sam_asks_by_box_point_and_the_maps_logits(
    kind: str, folders: dict[str, Path], scene: tuple[Image, ProbabilityMap]
) -> None:
    image, probs = scene
    coarse = probs >= 0.5
    rows, columns = np.nonzero(coarse)
    segmenter = Segmenter(str(folders[kind]), "main", "cpu")
    logits = np.clip(logit(probs.astype(np.float64)), -6, 6).astype(np.float32)
    mask = segmenter.on_square(logits, segmenter.look(image), fill=-6.0)
    box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float64)
    question = Question(np.array([[40.0, 25.0]]), np.array([1]), box, mask)
    masks, believed = answered(kind, folders[kind], image, question, True)
    ious = [((one >= 0) & coarse).sum() / ((one >= 0) | coarse).sum() for one in masks]
    expected: dict[Any, Any] = {
        "single": answered(kind, folders[kind], image, question, False)[0][0],
        "predicted": masks[believed.argmax()],
        "coarse": masks[int(np.argmax(ious))],
    }
    for select, one in expected.items():
        (result,) = Sam(model=folders[kind], strength=6.0, select=select).refine([image], [probs])
        wanted = expit(one) if (one >= 0).any() else probs
        np.testing.assert_allclose(result, wanted, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refiner", [Sam, SamRefiner])
@pytest.mark.parametrize("shape", [(1, 1), (1, 99), (37, 61)])
def test_any_map_comes_back_whole(refiner: Any, kind: str, shape: tuple[int, int], folders: dict[str, Path]) -> None:
    draw = np.random.default_rng(5)
    image = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    maps = [draw.random(shape).astype(np.float32), np.zeros(shape, np.float32), np.ones(shape, np.float32)]
    options: dict[str, Any] = {"rounds": 2, "margin": 0.1} if refiner is SamRefiner else {}
    made = refiner(model=folders[kind], regions=3, **options)
    results = made.refine([image] * 3, maps)
    for result in results:
        assert result.dtype == np.float32 and result.shape == shape
        assert result.min() >= 0 and result.max() <= 1  # NaN would fail
    np.testing.assert_array_equal(results[1], maps[1])  # nothing to ask about
    again = pickle.loads(pickle.dumps(made)).refine([image] * 3, maps)
    np.testing.assert_array_equal(again, results)


def test_the_mask_prompt_is_the_maps_logits_and_other_regions_are_background(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.full((128, 128, 3), 90, np.uint8)
    probs = np.full((128, 128), 0.25, np.float32)
    probs[16:48, 16:48], probs[80:120, 88:96] = 0.75, 1.0
    asked: list[Question] = []
    ask = Segmenter.ask

    def noted(self: Segmenter, seen: Any, question: Question, **how: Any) -> Any:
        asked.append(question)
        return ask(self, seen, question, **how)

    monkeypatch.setattr(Segmenter, "ask", noted)
    Sam(model=folders["sam2"], strength=5.0, widen=0.25, negatives=1).refine([image], [probs])
    large, thin = asked
    assert large.mask is not None and thin.mask is not None
    ln3 = np.log(3)  # the logit of 3/4
    for question, here, there in ((large, ln3, -5), (thin, -ln3, 5)):
        # Four pixels a cell: the centres of both regions and of the rest.
        np.testing.assert_allclose(
            [question.mask[8, 8], question.mask[25, 22], question.mask[4, 25]],  # type: ignore[index]
            [here, there, -ln3],
            rtol=1e-5,
        )
    assert large.box is not None and thin.box is not None
    np.testing.assert_allclose(large.box, [8, 8, 55, 55])  # 32 pixels, a quarter more on each side
    np.testing.assert_allclose(thin.box, [86, 70, 97, 127])  # held at the border
    assert large.labels.tolist() == [1]  # its box holds nothing but itself: no point beside it


def test_boxes_points_and_masks_can_be_left_out(folders: dict[str, Path], scene: tuple[Image, ProbabilityMap]) -> None:
    image, probs = scene
    ways: list[dict[str, Any]] = [{}, {"box": False}, {"points": 0}, {"strength": 0.0}, {"points": 3, "negatives": 2}]
    results = [Sam(model=folders["sam_hq"], **way).refine([image], [probs])[0] for way in ways]
    for position, one in enumerate(results):
        assert all(np.abs(one - other).max() > 1e-5 for other in results[:position])
    with pytest.raises(UserError, match="neither a box nor a point"):
        Sam(box=False, points=0)
    for wrong in ({"points": -1}, {"widen": -0.1}, {"strength": float("nan")}, {"regions": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Sam(**wrong)


def test_pixels_are_normalised_as_the_folder_says(folders: dict[str, Path], tmp_path: Path) -> None:
    image = np.random.default_rng(2).integers(0, 256, (60, 90, 3), np.uint8)
    tiny("sam2", tmp_path)
    other = Sam2ImageProcessor(size={"height": 999, "width": 999}, image_mean=[0.1, 0.2, 0.3], image_std=[0.5] * 3)
    other.save_pretrained(tmp_path)
    # The square is the model's, whatever stands there.
    square = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    seen = Segmenter(str(tmp_path), "main", "cpu").look(square).features
    pixels = torch.from_numpy((square / 255 - [0.1, 0.2, 0.3]) / 0.5).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        expected = KINDS_MODEL["sam2"].from_pretrained(tmp_path).eval().get_image_embeddings(pixels)[-1]
    np.testing.assert_allclose(seen, expected, atol=1e-4)
    usual = Segmenter(str(folders["sam2"]), "main", "cpu").look(square).features
    assert (seen - usual).abs().max() > 1e-2


@pytest.mark.parametrize(("kind", "prefix"), [("sam2_video", ""), ("sam3_video", "tracker_model.")])
def test_the_image_model_is_found_in_a_video_model(
    kind: str, prefix: str, scene: tuple[Image, ProbabilityMap], tmp_path: Path
) -> None:
    """SAM 2 and SAM 3 are published as video models."""
    weights = tiny_video(kind, tmp_path)
    decoder = Segmenter(str(tmp_path), "main", "cpu").model.mask_decoder.state_dict()
    assert decoder
    for name, tensor in decoder.items():
        torch.testing.assert_close(tensor, weights[f"{prefix}mask_decoder.{name}"], rtol=0, atol=0)
    (result,) = Sam(model=tmp_path).refine([scene[0]], [scene[1]])
    assert result.shape == scene[1].shape


def test_what_hq_sam_was_trained_on_is_told(folders: dict[str, Path], tmp_path: Path) -> None:
    for kind, folder in folders.items():
        for refiner in (Sam(model=folder), SamRefiner(model=folder)):
            assert isinstance(refiner, PubliclyTrained)
            assert ("ECSSD" in refiner.trained_on) == (kind == "sam_hq")
    for contents in ("{", "[]", "{}", json.dumps({"model_type": ["sam_hq"]})):
        (tmp_path / "config.json").write_text(contents)
        assert Sam(model=tmp_path).trained_on == ()


def test_without_network_one_line_says_what_to_fetch(
    folders: dict[str, Path],
    scene: tuple[Image, ProbabilityMap],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, probs = scene
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it went to the network"))
    monkeypatch.setattr(hub, "reachable", lambda _: pytest.fail("it asked the network"))
    assert Sam(model="facebook/sam2.1-hiera-tiny").trained_on == ()
    with pytest.raises(UserError, match=r"hf download facebook/sam2.1-hiera-tiny .*json.*safetensors") as caught:
        Sam(model="facebook/sam2.1-hiera-tiny").refine([image], [probs])
    assert "\n" not in str(caught.value)
    Sam(model=folders["sam2"]).refine([image], [probs])  # a folder is all that it needs


def test_weights_that_are_no_safetensors_are_not_read(
    folders: dict[str, Path], scene: tuple[Image, ProbabilityMap], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text((folders["sam"] / "config.json").read_text())
    torch.save(SamModel.from_pretrained(folders["sam"]).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        Sam(model=tmp_path).refine([scene[0]], [scene[1]])
