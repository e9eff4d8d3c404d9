"""Refiners one after the other: each takes the map of the one before."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import AsksBase, Image, MapDataset, Mask, Oracle, ProbabilityMap, Refiner, Sample, read_only
from bench.cross_fitting import Unseen, check_enough, check_inner
from bench.plugins.calls import calling_part
from bench.plugins.outputs import taken, unchanged
from bench.runtime.files import replacing
from bench.runtime.progress import track

_FITTED, _MAPS = "fitted", "maps"


class Chain(Refiner):
    """Refiners one after the other: `bench.contracts.Refiner`.

    They are fitted in order, each on all of val. What the first one learns from are the base's maps, as if it stood
    alone; a later one learns from what those before it make of val's images *unseen* (`bench.cross_fitting.Unseen`):
    one that learns nothing refines them itself, and of one that learns and cannot tell what it makes of an image unseen
    copies are fitted, each without a fold of val. The folds are the same for all parts. A part's copy has thus not seen
    the images that it refines; the maps that it learned from were made by copies of the part before that may have.

    Args:
        parts: in order, not fitted.
        names: theirs, for errors.
        seed: of the folds.
    """

    def __init__(self, parts: Sequence[Refiner], names: Sequence[str], seed: int) -> None:
        self.parts, self.names, self.seed = parts, names, seed
        self.trainable = any(part.trainable for part in parts)
        self._unseen: list[Unseen] = []

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """See `bench.contracts.Refiner`.

        Leaves for each part that learns a folder of its number, from 1: ``refiner/`` is its own, ``folds/`` those of
        its copies, ``fitted`` says that it is done. While later ones are fitted, ``maps/`` holds what they learn from,
        a float32 file an image.

        Raises:
            UserError: val has fewer than two images, and two parts learn; or a part raises it.
        """
        if sum(part.trainable for part in self.parts) > 1:
            check_enough(val, "+".join(self.names))
        folders = [workdir / str(number) for number in range(1, len(self.parts) + 1)]
        todo = [
            index
            for index, (part, folder) in enumerate(zip(self.parts, folders, strict=True))
            if part.trainable and not (folder / _FITTED).is_file()
        ]
        self._unseen, maps = [], val
        for index, (part, folder) in enumerate(zip(self.parts, folders, strict=True)):
            if isinstance(maps, _Refined) and part.trainable and todo and index <= todo[-1]:
                maps.keep()
            with self._at(index):
                self._unseen.append(Unseen(part, maps, folder, self.seed))
            if index in todo:
                with replacing(folder / _FITTED) as path:
                    path.write_text("\n")
            maps = _Refined(maps, self, index, folder / _MAPS)
        for folder in folders if todo else ():
            shutil.rmtree(folder / _MAPS, ignore_errors=True)

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`."""
        for index, part in enumerate(self.parts):
            with self._at(index):
                check_inner(part)

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. Raises UserError where a part returns what is no map."""
        return self._refined(images, maps)

    def refine_unseen(self, val: MapDataset, index: int) -> ProbabilityMap:
        """See `bench.contracts.CrossFitted`."""
        maps = val
        for part in range(len(self.parts)):
            maps = _Refined(maps, self, part)
        return maps[index][1]

    def part_unseen(self, part: int, before: MapDataset, index: int, shape: tuple[int, ...]) -> ProbabilityMap:
        """What a part makes, unseen, of val's image ``index``, of which ``before`` has the map, of that shape."""
        with self._at(part):
            return taken([self._unseen[part].refine(before, index)], [shape], "")[0]

    def _refined(
        self, images: Sequence[Image], maps: Sequence[ProbabilityMap], masks: Sequence[Mask] = ()
    ) -> list[ProbabilityMap]:
        shapes = [probs.shape for probs in maps]
        made: list[tuple[list[ProbabilityMap], list[ProbabilityMap]]] = []
        for index, part in enumerate(self.parts):
            with self._at(index):
                if isinstance(part, Oracle):
                    returned = part.refine_knowing(images, maps, masks)
                else:
                    returned = part.refine(images, maps)
                copies = taken(returned, shapes, "")
            made.append((returned, copies))
            maps = [read_only(probs) for probs in copies]
        for index, (returned, copies) in enumerate(made):
            with self._at(index):
                unchanged(returned, copies, "")
        return made[-1][0]

    def _at(self, index: int) -> AbstractContextManager[None]:
        return calling_part(f"part {index + 1}, {self.names[index]}")


class _Asking(Chain):
    """With a part that asks the base: `bench.contracts.AsksBase`."""

    def ask(self, base: Callable[[Sequence[Image]], list[ProbabilityMap]]) -> None:
        """See `bench.contracts.AsksBase`."""
        for part in self.parts:
            if isinstance(part, AsksBase):
                part.ask(base)


class _Knowing(Chain):
    """With an oracle among its parts: `bench.contracts.Oracle`."""

    uses_ground_truth = True

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Oracle`."""
        raise RuntimeError("an oracle needs the masks: call refine_knowing")

    def refine_knowing(
        self, images: Sequence[Image], maps: Sequence[ProbabilityMap], masks: Sequence[Mask]
    ) -> list[ProbabilityMap]:
        """See `bench.contracts.Oracle`."""
        return self._refined(images, maps, masks)


class _AskingAndKnowing(_Asking, _Knowing):
    """With both."""


def class_for(parts: Iterable[Any]) -> type[Chain]:
    """The class of a sequence of these refiners, or of refiners of these classes."""
    parts = list(parts)
    asks = any(isinstance(part, AsksBase) for part in parts)
    knows = any(getattr(part, "uses_ground_truth", False) is True for part in parts)
    return {(False, False): Chain, (True, False): _Asking, (False, True): _Knowing, (True, True): _AskingAndKnowing}[
        asks, knows
    ]


class _Refined:
    """Val with what a part makes of it, unseen: `bench.contracts.MapDataset`.

    Args:
        before: val with the maps that the part is given.
        chain, part: the part is this one of the chain's, fitted.
        folder: where `keep` puts them.
    """

    def __init__(self, before: MapDataset, chain: Chain, part: int, folder: Path | None = None) -> None:
        self._before, self._chain, self._part, self._folder = before, chain, part, folder

    @property
    def ids(self) -> Sequence[str]:
        return self._before.ids

    def __len__(self) -> int:
        return len(self._before)

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        index = range(len(self))[index]
        sample, probs = self._before[index]
        if (file := self._file(index)) is not None and file.is_file():
            return sample, read_only(np.load(file, allow_pickle=False))
        return sample, self._chain.part_unseen(self._part, self._before, index, probs.shape)

    def keep(self) -> None:
        """Make all that are not there, so that each is made once."""
        for index in track(range(len(self)), f"refine val by {self._chain.names[self._part]}, unseen"):
            file = self._file(index)
            if file is not None and not file.is_file():
                with replacing(file) as path, path.open("wb") as stream:
                    np.save(stream, self[index][1])

    def _file(self, index: int) -> Path | None:
        return self._folder and self._folder / f"{index}.npy"
