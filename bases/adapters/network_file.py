"""What the adapters of a whole network in one file share: `onnx`, `torchscript`, `exported`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from bench.bases.adapters.adapter import Adapter
from bench.contracts import ProbabilityMap, Sample, UserError
from bench.images import IMAGENET_MEAN, IMAGENET_STD, resize
from bench.network_files.inputs import Channels, Divide, ImageForm, PixelInput, Triple
from bench.network_files.outputs import Activation, Foreground, chosen_output, to_map
from bench.network_files.program import Form, Program, answered, at_least, opened


@dataclass(kw_only=True)
class NetworkFile(Adapter):
    """A network in a file, with what it wants as input and means by its output said in parameters.

    An image is resized, divided, normalised as ``(x - mean) / std`` and given to the network, one at a time; the chosen
    output becomes a map, which is resized back. A network whose input is uint8 gets the resized image as it is.

    Args:
        path: the file.
        size: side in pixels of the square that images are resized to; 0 takes what the file fixes, which need not be
            square, and the image's own size where it fixes none.
        divide: ``255``; ``max`` for the image's own largest value (as U^2-Net's code does); ``1`` to leave 0..255.
        channels: order of the input's channels: ``rgb``, or ``bgr`` as OpenCV reads images.
        mean, std: per channel in that order, on the divided values; ImageNet's, red first, by default.
        output: which of the network's outputs, by name or number from 0.
        foreground: of an output with several channels or of class numbers, the class that is foreground, or a list of
            them whose probabilities are summed; by default the only one, or the second of two.
        activation: ``sigmoid`` or ``softmax`` (over the channels) where the output holds logits.
        stretch: min-max stretch each map to [0, 1], as saliency networks' own code does.

    Raises:
        UserError: at the first `predict`: the file is no such network, or a parameter does not fit it.
    """

    form: ClassVar[Form]

    path: Path
    size: int = 0
    divide: Divide = "255"
    channels: Channels = "rgb"
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    output: int | str = 0
    foreground: Foreground = None
    activation: Activation = "none"
    stretch: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        at_least(0, size=self.size, **({"output": self.output} if isinstance(self.output, int) else {}))

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        return [self._predict(sample) for sample in samples]

    @cached_property
    def _opened(self) -> tuple[Program, PixelInput]:
        program = opened(self.path, self.form, self.device)
        if len(program.inputs) != 1:
            names = ", ".join(given.name for given in program.inputs) or "none"
            raise UserError(f"it has the inputs {names}", self.path, "name a network of one input, the image")
        return program, PixelInput.of(program.inputs[0], 3, "RGB image", self.path)

    def _predict(self, sample: Sample) -> ProbabilityMap:
        (program, wanted), shape = self._opened, (sample.image.shape[0], sample.image.shape[1])
        form = ImageForm(divide=self.divide, channels=self.channels, mean=self.mean, std=self.std)
        size = wanted.target(self.size, shape, self.path)
        outputs = answered(program, [wanted.tensor(form.planes(sample.image, *size, wanted.dtype))], self.path)
        probs = to_map(
            chosen_output(outputs, self.output, self.path),
            foreground=self.foreground,
            activation=self.activation,
            stretch=self.stretch,
            channels_last=wanted.channels_last,
            where=self.path,
        )
        return np.clip(resize(probs, *shape), 0, 1)
