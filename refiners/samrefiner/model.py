"""A Segment-Anything model of transformers: an image looked at once, then asked about with prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import Image, Mask, UserError
from bench.images import resize
from bench.refiners.samrefiner.prompts import Prompts
from bench.training.hub import hub
from bench.training.inference import whole_float32


@dataclass(frozen=True, slots=True)
class Scene:
    """An image as the model has seen it.

    Attributes:
        features: ``1xCxGxG``, of the padded square.
        shape: the image's height and width.
        inner: height and width that the image takes of the square; the rest, right and below, is padding.
    """

    features: Tensor
    shape: tuple[int, int]
    inner: tuple[int, int]


class Segmenter:
    """The model with its image processor.

    Args:
        name: a folder of ``save_pretrained``, or a name on the hub.
        revision: of a name on the hub.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: the model cannot be had, is of another kind, or lacks weights.
    """

    def __init__(self, name: str, revision: str, device: str) -> None:
        self.device = device
        self.model = _loaded(name, revision).to(device)
        self.side: int = self.model.config.vision_config.image_size
        self.grid: int = self.model.config.prompt_encoder_config.image_embedding_size
        self.processor = _processor(name, revision, self.side)

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether an image ``(H, W)`` keeps a pixel of its short side when its long side becomes the square's."""
        return 2 * min(shape) * self.side >= max(shape)

    def look(self, image: Image) -> Scene:
        """Encode an image: uint8 ``(H, W, 3)``."""
        given = self.processor(images=image.copy(), return_tensors="pt", input_data_format="channels_last")
        inner = tuple(int(side) for side in given["reshaped_input_sizes"][0])
        with torch.inference_mode(), whole_float32():
            features = self.model.get_image_embeddings(given["pixel_values"].to(self.device))
        return Scene(features, image.shape[:2], (inner[0], inner[1]))

    def ask(self, scene: Scene, prompts: Prompts, strength: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The model's masks for one region.

        Args:
            strength: of the mask prompt, a logit: ``strength`` x weight on the region, ``-strength`` elsewhere.

        Returns:
            Logits float32 ``(3, H, W)``, and the IoU that the model believes each to have ``(3,)``.
        """
        with torch.inference_mode(), whole_float32():
            answer = self.model(
                image_embeddings=scene.features, **self.inputs(scene, prompts, strength), multimask_output=True
            )
        return self._spread(answer.pred_masks[0], scene)[0], answer.iou_scores[0, 0].float().cpu().numpy()

    def inputs(self, scene: Scene, prompts: Prompts, strength: float) -> dict[str, Tensor]:
        """The prompts in the square's coordinates, as the model takes them."""
        height, width = scene.shape
        scale = np.array([scene.inner[1] / width, scene.inner[0] / height])
        side = 4 * self.grid
        sign = self._square(prompts.sign, scene, side, fill=-1.0)
        weight = self._square(prompts.weight, scene, side, fill=0.0)
        mask = np.where(sign > 0, strength * weight, -strength)
        arrays = {
            "input_points": (prompts.points * scale)[None, None],
            "input_labels": prompts.labels[None, None],
            "input_boxes": (prompts.box * np.tile(scale, 2))[None, None],
            "input_masks": mask[None, None],
        }
        # Coordinates and masks in the weights' precision; labels stay whole numbers.
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return {name: (t.float() if t.is_floating_point() else t).to(self.device) for name, t in tensors.items()}

    def similar(self, scene: Scene, region: Mask, least: float) -> Mask:
        """Pixels whose features' cosine with the region's mean is above ``least``: bool ``(H, W)``.

        The cosine is interpolated to the image's size, not the features, which would take a kilobyte a pixel.
        """
        cover = self._square(region.astype(np.float32), scene, self.grid, fill=0.0)
        features = scene.features[0]
        mean = (features * torch.from_numpy(cover).to(self.device)).sum(dim=(1, 2))
        cosine = F.cosine_similarity(features, mean[:, None, None], dim=0)
        return self._spread(cosine[None, None], scene)[0, 0] > least

    def _square(self, values: NDArray[np.float32], scene: Scene, side: int, fill: float) -> NDArray[np.float32]:
        """``(H, W)`` -> ``(side, side)``: resized and padded as the image was."""
        inner = resize(values, *scene.inner)
        below, right = self.side - scene.inner[0], self.side - scene.inner[1]
        return resize(np.pad(inner, ((0, below), (0, right)), constant_values=fill), side, side)

    def _spread(self, values: Tensor, scene: Scene) -> NDArray[np.float32]:
        """``1xKxhxh`` of the square -> ``(1, K, H, W)`` of the image."""
        (spread,) = self.processor.post_process_masks([values.float()], [scene.shape], [scene.inner], binarize=False)
        return spread.cpu().numpy()


def _processor(name: str, revision: str, side: int) -> Any:
    from transformers import SamImageProcessor

    square = {"size": {"longest_edge": side}, "pad_size": {"height": side, "width": side}}
    try:
        with hub(name):
            return SamImageProcessor.from_pretrained(name, revision=revision, **square)
    except (OSError, ValueError):
        # The model comes without one; all of SAM's share a mean and a deviation.
        return SamImageProcessor(**square)


def _loaded(name: str, revision: str) -> Any:
    from transformers import AutoConfig, SamModel
    from transformers.utils.logging import disable_progress_bar

    # The bar would mix with ours.
    disable_progress_bar()
    wanted = "name a model of the class SamModel, such as facebook/sam-vit-base or the folder it was saved to"
    try:
        with hub(name):
            kind = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False).model_type
            if kind != "sam":
                raise UserError(f"a model of type {kind!r}", name, wanted)
            model, loaded = SamModel.from_pretrained(
                name, revision=revision, dtype=torch.float32, output_loading_info=True
            )
    except UserError:
        raise
    except OSError as error:
        reason = " ".join(str(error).split())[:120]
        if Path(name).is_dir():
            raise UserError(f"no Segment-Anything model, {reason}", name, wanted) from None
        fix = "bring its folder, model=FOLDER with config.json and model.safetensors"
        raise UserError("no such folder or model in the cache, and it cannot be downloaded", name, fix) from None
    except Exception as error:
        # Damaged, or in need of code of its own: each from another library.
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"no Segment-Anything model, {reason}", name, wanted) from None
    absent = sorted([*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])])
    if absent:
        # transformers would fill them with random numbers.
        raise UserError(f"it has no weights for {', '.join(absent[:3])}", name, wanted)
    return model.eval()
