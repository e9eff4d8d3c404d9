"""Segment-Anything models of transformers: had or refused in one line, and what the public ones were trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.contracts import UserError
from bench.training.hub import hub

SEEN = {"sam_hq": ("MSRA-10K", "DUTS-TR", "DUTS-TE", "ECSSD", "FSS-1000")}
"""Type of model -> the image sets that a test may come from and its public weights were trained on.

HQ-SAM's are HQSeg-44K: DIS5K, ThinObject5K and these (Ke et al., NeurIPS 2023; train.py of the authors).
"""


def loaded(name: str, revision: str) -> tuple[Any, Any]:
    """The model in float32 and in eval mode, and the image processor of its type, set to the model's square.

    Args:
        name: a folder of ``save_pretrained``, or a name on the hub.
        revision: of a name on the hub.

    Raises:
        UserError: the model cannot be had, is of another kind, or lacks weights.
    """
    import torch
    from transformers import AutoConfig, AutoModelForMaskGeneration
    from transformers.utils.logging import disable_progress_bar

    # The bar would mix with ours.
    disable_progress_bar()
    wanted = f"name a Segment-Anything model with its safetensors: {', '.join(_kinds())}"
    try:
        with hub(name):
            config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
            if config.model_type not in _kinds():
                raise UserError(f"a model of type {config.model_type!r}", name, wanted)
            model, report = AutoModelForMaskGeneration.from_pretrained(
                name,
                revision=revision,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            processor = _processor(config, name, revision, model.prompt_encoder.input_image_size)
    except UserError:
        raise
    except OSError as error:
        if Path(name).is_dir():
            raise UserError(f"no Segment-Anything model, {_short(error)}", name, wanted) from None
        said = "no such folder, nor a model in the cache with safetensors, and it cannot be downloaded"
        fetch = f"hf download {name} --include '*.json' --include '*.safetensors' --local-dir FOLDER"
        raise UserError(said, name, f"where there is a network, {fetch}; then give model=FOLDER") from None
    except Exception as error:
        # Damaged, or in need of code of its own: each from another library.
        raise UserError(f"no Segment-Anything model, {_short(error)}", name, wanted) from None
    absent = sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])
    if absent:
        # transformers would fill them with random numbers.
        raise UserError(f"it has no weights for {', '.join(absent[:3])}", name, wanted)
    return model.eval(), processor


def trained_on(name: str, revision: str) -> tuple[str, ...]:
    """What public weights of the model's type have seen, see `SEEN`; nothing where its config.json cannot be had."""
    path = Path(name) / "config.json"
    if not Path(name).is_dir():
        path = _from_hub(name, revision)
    try:
        return SEEN.get(json.loads(path.read_text(encoding="utf-8"))["model_type"], ())
    except (OSError, ValueError, LookupError, TypeError):
        return ()  # refused when it is loaded


def _from_hub(name: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
        if isinstance(found, str):
            return Path(found)
        with hub(name):
            return Path(hf_hub_download(name, "config.json", revision=revision))
    except Exception:
        # No network, no such name, no name at all: said when the model is loaded.
        return Path(name) / "config.json"


def _kinds() -> list[str]:
    """The types that transformers knows for masks from prompts."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASK_GENERATION_MAPPING_NAMES

    return list(MODEL_FOR_MASK_GENERATION_MAPPING_NAMES)


def _processor(config: Any, name: str, revision: str, side: int) -> Any:
    """The type's own image processor; where the model comes without its settings, the type's defaults."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    known = IMAGE_PROCESSOR_MAPPING[type(config)]
    # transformers 5.0 has a pair, of which the second is torchvision's.
    factory = known["torchvision"] if isinstance(known, dict) else known[-1]
    square: dict[str, Any] = {"size": {"height": side, "width": side}}
    if "longest_edge" in factory().size:
        square = {"size": {"longest_edge": side}, "pad_size": {"height": side, "width": side}}
    try:
        return factory.from_pretrained(name, revision=revision, **square)
    except (OSError, ValueError):
        return factory(**square)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
