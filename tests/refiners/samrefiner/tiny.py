"""A Segment-Anything model small enough for a test, of random weights: it can be asked, and it answers nonsense."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import SamConfig, SamModel

SIDE = 128
"""Of the square that it looks at, pixels."""


def tiny_sam(path: Path) -> Path:
    """Save a SAM of 8 x 8 features, 32 x 32 masks and random weights in a folder."""
    torch.manual_seed(6)
    vision = {
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
    decoder = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    config = SamConfig(
        vision_config=vision,
        prompt_encoder_config={"image_size": SIDE, "hidden_size": 16},
        mask_decoder_config=decoder,
        initializer_range=0.3,
    )
    model = SamModel(config).eval()
    for parameter in [*model.mask_decoder.parameters(), *model.prompt_encoder.mask_embed.parameters()]:
        torch.nn.init.normal_(parameter, std=0.5)  # its own initial weights answer next to nothing
    model.save_pretrained(path)
    return path
