"""Segment-Anything models small enough for a test, of random weights: they can be asked, and they answer nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Sam2Config,
    Sam2Model,
    Sam3TrackerConfig,
    Sam3TrackerModel,
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
