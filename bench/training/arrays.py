"""What a training reads: fixed-shape samples on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from bench.contracts import UserError
from bench.runtime.files import replacing
from bench.runtime.progress import track
from bench.training.turns import turned

Batch: TypeAlias = dict[str, Tensor]
"""Field name -> the samples' fields, stacked on a new first axis."""


class TrainingArrays:
    """Fixed-shape samples on disk, one ``.npy`` a field, memory-mapped: memory does not grow with their number.

    Every field's first axis counts the samples. A sample's field of two or more axes is spatial: its last two are
    rows and columns, equal in number, and are turned and flipped jointly. A field of fewer axes is left alone.

    Args:
        folder: what `build` filled.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = json.loads((folder / "done.json").read_text())["fields"]
        self._fields = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}

    @classmethod
    def build(
        cls,
        folder: Path,
        count: int,
        fields: Mapping[str, tuple[tuple[int, ...], DTypeLike]],
        fill: Callable[[int], Mapping[str, np.ndarray]],
        description: str,
    ) -> TrainingArrays:
        """Write ``count`` samples, or reuse what an earlier, finished call with the same fields left.

        Args:
            folder: scratch; `train` removes it when it is done with it.
            count: number of samples.
            fields: name -> (shape, dtype) of one sample's field.
            fill: index -> the sample's fields, in those shapes.
            description: for the progress bar.

        Raises:
            UserError: ``count`` is 0.
        """
        if count == 0:
            raise UserError("no samples to train on", description, "the split it trains on is empty, give it samples")
        for name, (shape, _) in fields.items():
            if len(shape) >= 2 and shape[-1] != shape[-2]:
                raise ValueError(f"field {name!r} of shape {shape}: rows and columns must be equal in number")
        plan = {"count": count, "fields": {name: [list(shape), np.dtype(t).str] for name, (shape, t) in fields.items()}}
        marker = folder / "done.json"
        if not marker.is_file() or json.loads(marker.read_text()) != plan:
            marker.unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            arrays = {
                name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.dtype(dtype), (count, *shape))
                for name, (shape, dtype) in fields.items()
            }
            for index in track(range(count), description, total=count):
                sample = fill(index)
                for name, array in arrays.items():
                    array[index] = sample[name]
            for array in arrays.values():
                array.flush()
            with replacing(marker) as temporary:
                temporary.write_text(json.dumps(plan))
        return cls(folder)

    def __len__(self) -> int:
        return len(next(iter(self._fields.values())))

    def sample(self, index: int, turn: int = 0) -> Batch:
        """A copy of one sample's fields; ``turn`` is one of `turns.TURNS`."""
        fields = {name: array[index] for name, array in self._fields.items()}
        moved = {name: turned(field, turn) if field.ndim >= 2 else field for name, field in fields.items()}
        return {name: torch.from_numpy(np.array(field)) for name, field in moved.items()}

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, as they were written, stacked ``size`` at a time."""
        for start in range(0, len(self), size):
            samples = [self.sample(index) for index in range(start, min(start + size, len(self)))]
            yield torch.utils.data.default_collate(samples)

    def part(self, indices: Sequence[int]) -> TrainingArrays:
        """Some of the samples, numbered anew; removing it removes nothing."""
        return _Part(self, indices)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _Part(TrainingArrays):
    def __init__(self, whole: TrainingArrays, indices: Sequence[int]) -> None:
        self._whole, self._indices = whole, indices

    def __len__(self) -> int:
        return len(self._indices)

    def sample(self, index: int, turn: int = 0) -> Batch:
        return self._whole.sample(self._indices[index], turn)

    def remove(self) -> None:
        """The whole still needs the folder."""
