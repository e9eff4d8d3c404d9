"""What the refiners in one file share: `refiner-onnx`, `refiner-torchscript`, `refiner-exported`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from bench.contracts import Image, ProbabilityMap, Refiner, UserError
from bench.images import IMAGENET_MEAN, IMAGENET_STD, resize
from bench.network_files.inputs import (
    Channels,
    Divide,
    FileInput,
    ImageForm,
    MapForm,
    MapRange,
    PixelInput,
    Triple,
    logits_of,
    map_planes,
)
from bench.network_files.outputs import Activation, Foreground, chosen_output, raw_plane, to_map
from bench.network_files.program import Form, Program, Reopens, answered, at_least, check_runtime, opened

Padding = Literal["edge", "reflect", "zeros"]
Residual = Literal["none", "map", "logits"]
Part = Literal["image", "map"]

PARTS: dict[Part, int] = {"image": 3, "map": 1}
"""What may go into an input, and its channels."""


@dataclass(kw_only=True)
class RefinerFile(Reopens, Refiner):
    """A network in a file that makes a better map of an image and its map, or of one of the two.

    What goes in and what comes out is said in parameters. Images go through the network one at a time, and what it
    gives is resized back.

    Args:
        path: the file.
        inputs: what the network's inputs are, in the file's order: ``image/map`` is two of them, ``image+map`` one of
            four channels, and there may be more; ``image`` or ``map`` alone will do. Unsaid, it is found out where the
            file's shapes leave no doubt: of three channels is the image, of one the map.
        size: side in pixels of the square that image and map are resized to; 0 takes what the file fixes, which need
            not be square, and their own size where it fixes none.
        multiple: pad them at their own size, at the right and the bottom, so that both sides are multiples of this;
            what is added is cut off again.
        padding: with what: the ``edge`` repeated, the image and map ``reflect``\\ ed, or ``zeros`` (black, background).
        divide: the image by ``255``; by ``max``, its own largest value; by ``1`` to leave 0..255.
        channels: order of the image's channels: ``rgb``, or ``bgr`` as OpenCV reads images.
        mean, std: of the image, per channel in that order, on the divided values; ImageNet's by default. An input of
            uint8 gets the image as it is.
        map_form: what the map goes in as: ``probabilities``; their ``logits``, at most 11.8 in size, where the maps'
            16 bits end; or the ``mask``, 1 where the map is at least one half.
        map_range: of probabilities or the mask: 0..``1``, 0..``255`` or ``centred``, -1..1.
        output: which of the network's outputs, by name or number from 0.
        foreground: of an output with several channels or of class numbers, the class that is foreground, or a list of
            them whose probabilities are summed; by default the only one, or the second of two.
        activation: ``sigmoid`` or ``softmax`` (over the channels) where the output holds logits.
        residual: the output is added, at the map's own size, to the ``map``, which is then clipped, or to its
            ``logits``; ``none``: it is the new map.

    Raises:
        UserError: parameters do not go together; or, before anything is computed in a run, the file is no such network,
            or a parameter does not fit it.
    """

    form: ClassVar[Form]

    path: Path
    inputs: str = ""
    size: int = 0
    multiple: int = 1
    padding: Padding = "edge"
    divide: Divide = "255"
    channels: Channels = "rgb"
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    map_form: MapForm = "probabilities"
    map_range: MapRange = "1"
    output: int | str = 0
    foreground: Foreground = None
    activation: Activation = "none"
    residual: Residual = "none"
    device: str = "cpu"

    def __post_init__(self) -> None:
        at_least(0, size=self.size, **({"output": self.output} if isinstance(self.output, int) else {}))
        at_least(1, multiple=self.multiple)
        if self.size and self.multiple > 1:
            raise UserError(f"size={self.size} and multiple={self.multiple}", "multiple=", "give one of the two")
        if self.map_form == "logits" and self.map_range != "1":
            raise UserError(f"logits have no range, and it is {self.map_range}", "map_range=", "leave it out")
        if self.residual != "none" and self.activation != "none":
            said = f"residual={self.residual} adds what the network gives, and {self.activation} would change that"
            raise UserError(said, "activation=", "leave one of the two out")
        self._said_inputs = _read(self.inputs) if self.inputs else None

    def check_files(self) -> None:
        """See `bench.contracts.ChecksFiles`; the network is read on the CPU, whatever the device."""
        check_runtime(self.form, self.device)
        self._bound(opened(self.path, self.form, "cpu"))

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    @cached_property
    def _opened(self) -> tuple[Program, list[tuple[PixelInput, tuple[Part, ...]]]]:
        program = opened(self.path, self.form, self.device)
        return program, self._bound(program)

    def _bound(self, program: Program) -> list[tuple[PixelInput, tuple[Part, ...]]]:
        """Each of the file's inputs, with what goes into it."""
        listed = ", ".join(f"{given.name} {given}" for given in program.inputs) or "none"
        wanted = self._said_inputs or _found(program.inputs)
        if wanted is None:
            fix = "say it with inputs=image/map, in the file's order, or inputs=image+map for one that takes both"
            raise UserError(f"it has the inputs {listed}: it is unclear what goes in there", self.path, fix)
        if len(wanted) != len(program.inputs):
            said = f"inputs={self.inputs} are {len(wanted)}, and the network's are {len(program.inputs)}: {listed}"
            raise UserError(said, self.path, "correct inputs=, in the file's order")
        bound = [
            (PixelInput.of(given, sum(PARTS[part] for part in parts), " and ".join(parts), self.path), parts)
            for given, parts in zip(program.inputs, wanted, strict=True)
        ]
        for pixels, parts in bound:
            if (
                pixels.dtype == "uint8"
                and "map" in parts
                and (self.map_form == "logits" or self.map_range == "centred")
            ):
                said = (
                    f"its input is uint8, which holds no {'logits' if self.map_form == 'logits' else 'values below 0'}"
                )
                raise UserError(said, self.path, "leave map_form= or map_range= out: a map goes in as 0..255")
            if self.multiple > 1 and (pixels.height or pixels.width):
                said = f"multiple={self.multiple}, and its input is {pixels.height or 'any'}x{pixels.width or 'any'}"
                raise UserError(said, self.path, "leave multiple= out")
            pixels.target(self.size, (1, 1), self.path)
        return bound

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        program, bound = self._opened
        rows, columns = probs.shape
        whole = -rows % self.multiple, -columns % self.multiple
        padded_image, padded = self._padded(image, whole), self._padded(probs, whole)
        tensors = [self._tensor(wanted, parts, padded_image, padded) for wanted, parts in bound]
        values = chosen_output(answered(program, tensors, self.path), self.output, self.path)
        last = bound[0][0].channels_last

        def back(plane: np.ndarray) -> np.ndarray:
            return resize(plane, *padded.shape)[:rows, :columns]

        if self.residual == "none":
            found = to_map(
                values, foreground=self.foreground, activation=self.activation, channels_last=last, where=self.path
            )
            return np.clip(back(found), 0, 1)
        added = back(raw_plane(values, foreground=self.foreground, channels_last=last, where=self.path))
        if self.residual == "map":
            return np.clip(probs + added, 0, 1)
        return (1 / (1 + np.exp(-np.clip(logits_of(probs) + added, -80, 80)))).astype(np.float32)

    def _padded(self, array: np.ndarray, whole: tuple[int, int]) -> np.ndarray:
        if not any(whole):
            return array
        mode: Literal["edge", "reflect", "constant"] = "constant" if self.padding == "zeros" else self.padding
        return np.pad(array, [(0, whole[0]), (0, whole[1]), (0, 0)][: array.ndim], mode)

    def _tensor(self, wanted: PixelInput, parts: Sequence[Part], image: Image, probs: ProbabilityMap) -> np.ndarray:
        height, width = wanted.target(self.size, (probs.shape[0], probs.shape[1]), self.path)
        form = ImageForm(divide=self.divide, channels=self.channels, mean=self.mean, std=self.std)

        def planes(part: Part) -> np.ndarray:
            if part == "image":
                return form.planes(image, height, width, wanted.dtype)
            return map_planes(probs, height, width, form=self.map_form, range=self.map_range, dtype=wanted.dtype)

        return wanted.tensor(*map(planes, parts))


def _read(inputs: str) -> list[tuple[Part, ...]]:
    """``image/map+image`` in parts. Raises UserError where one of them is neither."""
    read = [tuple(part.strip() for part in one.split("+")) for one in inputs.split("/")]
    for part in (part for parts in read for part in parts):
        if part not in PARTS:
            fix = "write image or map for each of the network's inputs, with / between them, and + inside one"
            raise UserError(f"no such input {part!r}", f"inputs={inputs}", fix)
    return [tuple(known for part in parts for known in PARTS if known == part) for parts in read]


def _found(inputs: Sequence[FileInput]) -> list[tuple[Part, ...]] | None:
    """What they are by their channels; None where these leave a doubt. One of four does: which comes first?"""
    named: dict[int, Part] = {channels: part for part, channels in PARTS.items()}
    found = [named.get(given.channels) for given in inputs]
    sure = found if len(set(found)) == len(found) else [None]
    return [(part,) for part in sure if part is not None] if all(sure) and sure else None
