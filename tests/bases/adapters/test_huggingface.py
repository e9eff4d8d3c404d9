from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional as F
from transformers import (
    BeitConfig,
    BeitForSemanticSegmentation,
    BeitImageProcessor,
    MobileViTConfig,
    MobileViTForSemanticSegmentation,
    MobileViTImageProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerModel,
)

from bench.bases.adapters.huggingface import HuggingFace, ModelId
from bench.contracts import Sample, UserError
from tests.bases.adapters import eager

LABELS = {0: "wall", 1: "polyp", 2: "tool"}


def segformer_config(**changes: Any) -> SegformerConfig:
    sizes: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "decoder_hidden_size": 16}
    heads = {"num_attention_heads": [1, 1, 2, 2], "id2label": LABELS, "label2id": {v: k for k, v in LABELS.items()}}
    return SegformerConfig(**(sizes | heads | changes))


@pytest.fixture
def segformer(tmp_path: Path) -> Any:
    """A tiny SegFormer of three classes in ``tmp_path / "segformer"``, without a processor."""
    torch.manual_seed(0)
    model = SegformerForSemanticSegmentation(segformer_config()).eval()
    model.decode_head.classifier.weight.data.normal_()  # far from a constant
    model.save_pretrained(tmp_path / "segformer")
    return model


@pytest.fixture
def sample() -> Sample:
    return eager.samples(1)[0]


def direct(model: Any, pixels: torch.Tensor, sample: Sample) -> np.ndarray:
    """Probabilities ``KxHxW`` by calling the model itself."""
    with torch.inference_mode():
        logits = F.interpolate(model(pixels).logits, sample.mask.shape, mode="bilinear", align_corners=False)[0]
    return (logits.softmax(0) if len(logits) > 1 else logits.sigmoid()).numpy()


def scaled(sample: Sample, mean: float, std: float) -> torch.Tensor:
    return (torch.from_numpy(sample.image).permute(2, 0, 1)[None] / 255 - mean) / std


def test_a_model_without_processor_by_class_number_and_label(segformer: Any, tmp_path: Path, sample: Sample) -> None:
    expected = direct(segformer, scaled(sample, 0.5, 0.25), sample)
    assert np.ptp(expected[1]) > 1e-4
    options: dict[str, Any] = {"id": tmp_path / "segformer", "mean": (0.5,) * 3, "std": (0.25,) * 3}
    for foreground in (1, "1", "polyp", ("polyp",)):
        (probs,) = HuggingFace(**options, foreground=foreground).predict([sample])
        assert probs.shape == sample.mask.shape and probs.dtype == np.float32
        np.testing.assert_allclose(probs, expected[1], atol=1e-5)
    (summed,) = HuggingFace(**options, foreground=("polyp", 2)).predict([sample])
    np.testing.assert_allclose(summed, expected[1] + expected[2], atol=1e-5)
    (small,) = HuggingFace(**options, foreground=1, size=64).predict([sample])
    assert small.shape == sample.mask.shape and np.abs(small - expected[1]).max() > 1e-4


def test_one_logit_gets_a_sigmoid(tmp_path: Path, sample: Sample) -> None:
    torch.manual_seed(0)
    config = segformer_config(id2label={0: "salient"}, label2id={"salient": 0})
    model = SegformerForSemanticSegmentation(config).eval()
    model.save_pretrained(tmp_path / "binary")
    (probs,) = HuggingFace(id=tmp_path / "binary", mean=(0.5,) * 3, std=(0.5,) * 3).predict([sample])
    np.testing.assert_allclose(probs, direct(model, scaled(sample, 0.5, 0.5), sample)[0], atol=1e-5)


def test_a_models_own_processor_prepares_the_image(tmp_path: Path, sample: Sample) -> None:
    torch.manual_seed(0)
    config = BeitConfig(
        image_size=64,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        out_indices=[1, 2, 3, 4],
        use_absolute_position_embeddings=True,
        pool_scales=[1, 2],
        num_labels=2,
    )
    model = BeitForSemanticSegmentation(config).eval()
    model.save_pretrained(tmp_path / "beit")
    processor = BeitImageProcessor(
        size={"height": 64, "width": 64}, do_center_crop=False, image_mean=[0.2] * 3, image_std=[0.7] * 3
    )
    processor.save_pretrained(tmp_path / "beit")
    pixels = processor(images=sample.image, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 64, 64)
    (probs,) = HuggingFace(id=tmp_path / "beit").predict([sample])  # two classes: the second is foreground
    np.testing.assert_allclose(probs, direct(model, pixels, sample)[1], atol=1e-5)
    with pytest.raises(UserError, match=r"does not run on \(1, 3, 8, 8\).*size="):
        HuggingFace(id=tmp_path / "beit", size=8).predict([sample])


def test_a_processors_crop_is_left_out(tmp_path: Path) -> None:
    """MobileViT's processor cuts the middle out: a map of it would be of another picture."""
    torch.manual_seed(0)
    config = MobileViTConfig(
        hidden_sizes=[16, 16, 16],
        neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16],
        num_attention_heads=2,
        aspp_out_channels=64,
        atrous_rates=[1, 2, 3],
        num_labels=2,
    )
    model = MobileViTForSemanticSegmentation(config).eval()
    for module in model.modules():  # its own initial weights give all but a constant
        if isinstance(module, (torch.nn.Conv2d, torch.nn.BatchNorm2d)):
            module.reset_parameters()
    model.save_pretrained(tmp_path / "vit")
    MobileViTImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}).save_pretrained(
        tmp_path / "vit"
    )
    image = np.full((64, 192, 3), 100, np.uint8)
    other = image.copy()
    other[:, 160:] = 255  # outside the middle
    mask = np.zeros((64, 192), bool)
    one, two = HuggingFace(id=tmp_path / "vit").predict([Sample("a", image, mask), Sample("b", other, mask)])
    assert np.abs(one - two).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "3 classes.*foreground="),
        ({"foreground": 3}, "no class"),
        ({"foreground": "polip"}, "no class 'polip', the model's are wall, polyp, tool"),
    ],
)
def test_the_foreground_must_be_a_class(
    options: dict[str, Any], says: str, segformer: Any, tmp_path: Path, sample: Sample
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        HuggingFace(id=tmp_path / "segformer", **options).predict([sample])
    assert "segformer" in str(caught.value)


def test_an_encoder_alone_is_no_segmentation_model(tmp_path: Path, sample: Sample) -> None:
    SegformerModel(segformer_config()).save_pretrained(tmp_path / "encoder")
    with pytest.raises(UserError, match=r"no weights for decode_head.*encoder.*fine-tuned"):
        HuggingFace(id=tmp_path / "encoder", foreground=1).predict([sample])


def test_what_is_no_model_is_said_in_one_line(
    segformer: Any, tmp_path: Path, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "segformer" / "model.safetensors").write_bytes(b"torn")
    for name in ("empty", "bert", "segformer"):
        with pytest.raises(UserError, match=name) as caught:
            HuggingFace(id=tmp_path / name, foreground=1).predict([sample])
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be downloaded \(someone/model\).*model\.safetensors"):
        HuggingFace(id="someone/model", foreground=1).predict([sample])


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, sample: Sample) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    auto = '{"AutoConfig": "code.Own", "AutoModelForSemanticSegmentation": "code.Own"}'
    (folder / "config.json").write_text(f'{{"model_type": "own", "auto_map": {auto}}}')
    (folder / "code.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w').close()\nclass Own: pass\n")
    with pytest.raises(UserError, match="own"):
        HuggingFace(id=folder).predict([sample])
    assert not (tmp_path / "executed").exists()


def test_a_folder_enters_a_cells_identity_by_its_contents(tmp_path: Path) -> None:
    read = TypeAdapter(ModelId).validate_python
    assert read(str(tmp_path)) == tmp_path  # the registry hashes what a Path names
    assert read("nvidia/segformer-b0") == "nvidia/segformer-b0"
