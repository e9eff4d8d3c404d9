"""A Segment-Anything model of transformers: an image looked at once, then asked about with prompts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import Image, Mask
from bench.images import resize
from bench.refiners.samrefiner.loading import loaded
from bench.training.inference import whole_float32


@dataclass(frozen=True, slots=True)
class Scene:
    """An image as the model has seen it.

    Attributes:
        features: ``1xCxGxG``, of the square; where the model has several, the coarsest.
        embeddings: what the model is given in the image's place, by its argument.
        shape: the image's height and width.
        inner: height and width that the image takes of the square; the rest, right and below, is padding.
    """

    features: Tensor
    embeddings: Mapping[str, Any]
    shape: tuple[int, int]
    inner: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Question:
    """What the model is asked for one region. Coordinates are the image's pixel indices, x before y.

    Attributes:
        points: float64 ``(N, 2)``: x and y; N may be 0 where there is a box.
        labels: int64 ``(N,)``: 1 on the region, 0 beside it.
        box: float64 ``(4,)``: first column, first row, last column and last row; or None.
        mask: float32 ``(4G, 4G)``, logits on the square, see `Segmenter.on_square`; or None.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    box: NDArray[np.float64] | None
    mask: NDArray[np.float32] | None


class Segmenter:
    """The model with its image processor.

    What differs between the families follows from the model: SAM and SAM-HQ pad an image to their square, SAM 2 and
    SAM 3's tracker stretch it; SAM-HQ gives features of its early layers too, the later two a pyramid; the sides of
    square, features and mask prompt are the prompt encoder's.

    Args:
        name: a folder of ``save_pretrained``, or a name on the hub.
        revision: of a name on the hub.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: the model cannot be had, is of another kind, or lacks weights.
    """

    def __init__(self, name: str, revision: str, device: str) -> None:
        self.device = device
        model, self.processor = loaded(name, revision)
        self.model = model.to(device)
        self.side: int = self.model.prompt_encoder.input_image_size
        self.grid: int = self.model.prompt_encoder.image_embedding_size[0]
        self.padded = "longest_edge" in self.processor.size
        self.fused = "intermediate_embeddings" in inspect.signature(self.model.forward).parameters

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether an image ``(H, W)`` keeps a pixel of its short side on the square."""
        return not self.padded or 2 * min(shape) * self.side >= max(shape)

    def look(self, image: Image) -> Scene:
        """Encode an image: uint8 ``(H, W, 3)``."""
        given = self.processor(images=image.copy(), return_tensors="pt", input_data_format="channels_last")
        height, width = given["reshaped_input_sizes"][0] if self.padded else (self.side, self.side)
        with torch.inference_mode(), whole_float32():
            found = self.model.get_image_embeddings(given["pixel_values"].to(self.device))
        names = ("image_embeddings", "intermediate_embeddings") if self.fused else ("image_embeddings",)
        embeddings = dict(zip(names, found if self.fused else (found,), strict=True))
        features = embeddings["image_embeddings"]
        coarsest = features if isinstance(features, Tensor) else features[-1]
        return Scene(coarsest, embeddings, image.shape[:2], (int(height), int(width)))

    def ask(
        self, scene: Scene, question: Question, *, single: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The model's masks for one region.

        Args:
            single: the one mask that the model has for a question with one answer, not its several for any.

        Returns:
            Logits float32 ``(K, H, W)``, and the IoU that the model believes each to have ``(K,)``.
        """
        with torch.inference_mode(), whole_float32():
            answer = self.model(**scene.embeddings, **self.inputs(scene, question), multimask_output=not single)
        return self._spread(answer.pred_masks[0], scene)[0], answer.iou_scores[0, 0].float().cpu().numpy()

    def inputs(self, scene: Scene, question: Question) -> dict[str, Tensor]:
        """The prompts in the square's coordinates, as the model takes them."""
        height, width = scene.shape
        scale = np.array([scene.inner[1] / width, scene.inner[0] / height])
        arrays: dict[str, NDArray[Any]] = {}
        if len(question.points):
            arrays["input_points"] = (question.points * scale)[None, None]
            arrays["input_labels"] = question.labels[None, None]
        if question.box is not None:
            arrays["input_boxes"] = (question.box * np.tile(scale, 2))[None, None]
        if question.mask is not None:
            arrays["input_masks"] = question.mask[None, None]
        # Coordinates and masks in the weights' precision; labels stay whole numbers.
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return {name: (t.float() if t.is_floating_point() else t).to(self.device) for name, t in tensors.items()}

    def on_square(self, values: NDArray[np.float32], scene: Scene, fill: float) -> NDArray[np.float32]:
        """``(H, W)`` of the image -> ``(4G, 4G)``, where a mask prompt lives; ``fill`` is what padding gets."""
        return self._square(values, scene, 4 * self.grid, fill)

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
        inner = {"reshaped_input_sizes": [scene.inner]} if self.padded else {}
        (spread,) = self.processor.post_process_masks([values.float()], [scene.shape], **inner, binarize=False)
        return spread.cpu().numpy()
