"""Any network as an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.contracts import Dataset, ProbabilityMap, Sample, UserError
from bench.images import resize


class Onnx:
    """A network in an ONNX file, run by onnxruntime; its input is 1x3xSxS float32 RGB.

    An image is resized to ``size``, divided, normalised as ``(x - mean) / std``, and the map is resized back.

    Args:
        path: the ONNX file.
        size: side of the square input in pixels; 0 takes the side that the file fixes.
        divide: ``255``, or ``max`` for the image's own largest value (as U^2-Net's code does).
        mean, std: per channel, on the divided values; ImageNet's by default.
        output: which of the file's outputs is the map, 1x1xHxW or 1xHxW.
        activation: ``sigmoid`` where that output holds logits.
        stretch: min-max stretch each map to [0, 1], as saliency networks' own code does.

    Raises:
        UserError: the file is no ONNX network, or the size or output does not fit it.
    """

    requires = ("onnxruntime",)
    extra = "onnx"
    version = 1
    trainable = False

    def __init__(
        self,
        *,
        path: Path,
        size: int = 0,
        divide: Literal["255", "max"] = "255",
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        output: int = 0,
        activation: Literal["none", "sigmoid"] = "none",
        stretch: bool = False,
        device: str = "cpu",
    ) -> None:
        self.path, self.size, self.divide, self.output = path, size, divide, output
        self.mean, self.std = np.array(mean, np.float32), np.array(std, np.float32)
        self.activation, self.stretch, self.device = activation, stretch, device
        self._session: Any = None

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """Nothing to learn."""

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        if self._session is None:
            self._session = self._open()
        return [self._predict(sample) for sample in samples]

    def _predict(self, sample: Sample) -> ProbabilityMap:
        pixels = resize(sample.image, self.size, self.size).astype(np.float32)
        pixels /= max(float(pixels.max()), 1.0) if self.divide == "max" else 255.0
        tensor = np.ascontiguousarray(((pixels - self.mean) / self.std).transpose(2, 0, 1)[None])
        names = [self._session.get_outputs()[self.output].name]
        try:
            (values,) = self._session.run(names, {self._session.get_inputs()[0].name: tensor})
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own.
            reason = " ".join(str(error).split())[-160:]
            raise UserError(f"the network does not run, {reason}", self.path, "correct size= to its input") from None
        probs = np.squeeze(values).astype(np.float32)
        if probs.ndim != 2:
            raise UserError(f"output {self.output} has shape {values.shape}", self.path, "name a one-channel output=")
        if self.activation == "sigmoid":
            probs = 1 / (1 + np.exp(-np.clip(probs, -80, 80)))
        if self.stretch:
            low, high = float(probs.min()), float(probs.max())
            probs = (probs - low) / (high - low) if high > low else probs
        return np.clip(resize(probs, *sample.image.shape[:2]), 0, 1)

    def _open(self) -> Any:
        import onnxruntime

        providers = ["CUDAExecutionProvider"] if self.device == "cuda" else []
        available = set(onnxruntime.get_available_providers())
        if not available.issuperset(providers):
            raise UserError("onnxruntime has no CUDA here", "--device cuda", "pip install onnxruntime-gpu, or use cpu")
        try:
            session = onnxruntime.InferenceSession(str(self.path), providers=[*providers, "CPUExecutionProvider"])
        except Exception as error:
            raise UserError(f"no ONNX network, {type(error).__name__}", self.path, "name a valid .onnx file") from None
        if self.output >= len(session.get_outputs()):
            raise UserError(
                f"no output {self.output}, the network has {len(session.get_outputs())}", self.path, "lower output="
            )
        fixed = session.get_inputs()[0].shape[-1]
        if not self.size and not isinstance(fixed, int):
            raise UserError("the network takes any size", self.path, "say which with onnx[size=...]")
        self.size = self.size or fixed
        return session
