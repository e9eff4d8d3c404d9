"""Segment-Anything models small enough for a test, of random weights: they can be asked, and they answer nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    Sam2Config,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    Sam3VideoConfig,
    Sam3VideoModel,
    SamConfig,
    SamHQConfig,
    SamHQModel,
    SamModel,
)

SIDE = 128
"""Of the square that SAM, SAM-HQ and SAM 2 look at, pixels."""

SIDE_3 = 112
"""Of SAM 3's, in patches of 14 pixels."""

DECODER: dict[str, Any] = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16}

VIT: dict[str, Any] = {
    "image_size": SIDE,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "output_channels": 16,
    "num_pos_feats": 8,
    "window_size": 2,
    "global_attn_indexes": [1],
    "initializer_range": 0.3,
}

PYRAMID: dict[str, Any] = {"fpn_hidden_size": 16, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}

WIDTHS = (
    "memory_attention_hidden_size",
    "memory_attention_feed_forward_hidden_size",
    "memory_encoder_hidden_size",
    "memory_encoder_output_channels",
    "mask_downsampler_embed_dim",
    "memory_fuser_embed_dim",
    "memory_fuser_intermediate_dim",
)
"""Of the parts of a video model that images do not use."""


def tiny_sam(path: Path) -> Path:
    """Save a SAM of 8 x 8 features, 32 x 32 masks and random weights in a folder."""
    return tiny("sam", path)


def tiny(kind: str, path: Path) -> Path:
    """Save a model of one of `KINDS`: 8 x 8 features, 32 x 32 masks and random weights."""
    torch.manual_seed(6)
    model = KINDS[kind]().eval()
    for parameter in [*model.mask_decoder.parameters(), *model.prompt_encoder.mask_embed.parameters()]:
        torch.nn.init.normal_(parameter, std=0.5)  # its own initial weights answer next to nothing
    model.save_pretrained(path)
    return path


def _sam() -> Any:
    prompts = {"image_size": SIDE, "hidden_size": 16}
    return SamModel(
        SamConfig(vision_config=VIT, prompt_encoder_config=prompts, mask_decoder_config=DECODER, initializer_range=0.3)
    )


def _sam_hq() -> Any:
    prompts, decoder = {"image_size": SIDE, "hidden_size": 16}, DECODER | {"vit_dim": 16}
    return SamHQModel(
        SamHQConfig(
            vision_config=VIT, prompt_encoder_config=prompts, mask_decoder_config=decoder, initializer_range=0.3
        )
    )


def _sam2() -> Any:
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "image_size": [SIDE, SIDE],
        "hidden_size": 8,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 12, 16, 20],
        "num_attention_heads_per_stage": [1, 1, 1, 1],
        "window_size_per_stage": [8, 4, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
        "initializer_range": 0.3,
    }
    vision = PYRAMID | {"backbone_config": backbone, "backbone_channel_list": [20, 16, 12, 8], "initializer_range": 0.3}
    prompts = {"image_size": SIDE, "patch_size": 16, "hidden_size": 16}
    return Sam2Model(Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=DECODER))


def _sam3_tracker() -> Any:
    backbone = {
        "model_type": "sam3_vit_model",
        "image_size": SIDE_3,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
        "initializer_range": 0.3,
    }
    vision = PYRAMID | {"model_type": "sam3_vision_model", "backbone_config": backbone, "initializer_range": 0.3}
    prompts = {"image_size": SIDE_3, "patch_size": 14, "hidden_size": 16}
    return Sam3TrackerModel(
        Sam3TrackerConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=DECODER)
    )


KINDS: dict[str, Callable[[], Any]] = {
    "sam": _sam,
    "sam_hq": _sam_hq,
    "sam2": _sam2,
    "sam3_tracker": _sam3_tracker,
}
"""The ``model_type`` of config.json -> how one is made."""


def tiny_video(kind: str, path: Path) -> dict[str, torch.Tensor]:
    """Save a video model ``sam2_video`` or ``sam3_video``, in which that of images lies. Returns its weights."""
    torch.manual_seed(6)
    memory: dict[str, Any] = dict.fromkeys(WIDTHS, 16)
    memory |= dict.fromkeys(("memory_attention_num_layers", "memory_attention_num_attention_heads"), 1)
    memory |= {"memory_fuser_num_layers": 1, "memory_attention_rope_feat_sizes": [8, 8]}
    image = KINDS["sam2" if kind == "sam2_video" else "sam3_tracker"]().config
    prompts = {name: getattr(image.prompt_encoder_config, name) for name in ("image_size", "patch_size", "hidden_size")}
    seeing = {"vision_config": image.vision_config.to_dict(), "prompt_encoder_config": prompts}
    tracker = seeing | {"mask_decoder_config": DECODER, "image_size": prompts["image_size"]} | memory
    model: Any
    if kind == "sam2_video":
        model = Sam2VideoModel(Sam2VideoConfig(**tracker))
    else:
        part = {"hidden_size": 16, "num_attention_heads": 1}
        layers = part | {"num_layers": 1, "intermediate_size": 16}
        text = part | {"num_hidden_layers": 1, "intermediate_size": 16, "projection_dim": 16, "vocab_size": 50}
        text |= {"max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1}
        detector = {
            "vision_config": seeing["vision_config"],
            "text_config": text
            | {"vocab_size": 50, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1},
            "geometry_encoder_config": layers,
            "detr_encoder_config": layers,
            "detr_decoder_config": layers | {"num_queries": 4},
            "mask_decoder_config": part,
        }
        model = Sam3VideoModel(Sam3VideoConfig(detector_config=detector, tracker_config=tracker))
    model.config.save_pretrained(path)
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return weights
