"""What the few-shot bases share: they learn from classes of images, and see a sample's support before they answer."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.bases.parts.framing import framed, framed_mask
from bench.bases.parts.trained import TrainedBase
from bench.contracts import DECISION, Dataset, ProbabilityMap, Sample, UserError
from bench.training import Augment, Batch, TrainingArrays, ious
from bench.training.augment import cropped, jointly
from bench.training.inference import Model, averaged, in_batches, whole_float32


@dataclass
class _Episode:
    """A support set's model, and the ids of the queries it was asked for."""

    support: str
    model: Model
    asked: set[str] = field(default_factory=set)


@dataclass(kw_only=True)
class FewShotBase(TrainedBase):
    """A base for samples that carry a support (`bench.contracts.Sample`), e.g. those of ``fss1000``.

    The queries of a split are turned back into classes: a sample ``class/number`` and its support are pairs of one
    class. An epoch passes once over all classes of the train split. Each gives one episode, its pairs drawn anew:
    ``shots`` of support and ``queries``, none twice unless the class has too few. Which pairs that split calls support
    plays no part there. On val and test it does: a query is always answered from its own support.

    What a support set costs (encoding it, or an inner loop) is spent once for its queries that come one after
    the other: the first of them takes longer, and the mean over the images is what an image costs. A query that comes
    a second time pays again, so that a call before the measured one does not take the cost away.

    Args:
        shots: support pairs of a training episode. At test time the samples say how many there are.
        queries: query pairs of a training episode.
        val_classes: the best epoch is chosen on so many classes of val, evenly spread; 0 takes all.

    Raises:
        UserError: a number is too small; or (at `fit` and `predict`) a sample has no support, or a class too few pairs.
    """

    shots: int = 5
    queries: int = 5
    val_classes: int = 0
    _episode: _Episode | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("shots", 1), ("queries", 1), ("val_classes", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}", f"{name}=", f"give {least} or more")

    def __getstate__(self) -> dict[str, Any]:
        """Without the last support set's model, a function that cannot go to another process."""
        return {**self.__dict__, "_episode": None}

    @abstractmethod
    def episode_model(self, network: nn.Module, images: Tensor, masks: Tensor) -> Model:
        """The model that answers the queries of one support set. It depends on network, support and seed alone.

        Args:
            network: in eval mode; left as it is.
            images: the support, uint8 ``Kx3xSxS`` of 0..255.
            masks: bool ``Kx1xSxS``.
        """

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """See `TrainedBase`."""
        self._episode = None
        super().fit(train, val, workdir)

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`. Raises UserError for a sample without support."""
        network, maps = self.ready(), []
        with whole_float32():
            for sample in samples:
                # Not under inference mode: a support set may have to be learnt from.
                with torch.no_grad():
                    model = self._model_for(network, sample)
                with torch.inference_mode():
                    maps.append(self._predict(averaged(model, self.tta, self.scales, self.multiple), sample))
        return maps

    def _validation(self, network: nn.Module, held_out: TrainingArrays) -> float:
        """Mean IoU of the queries of the held-out classes, at the network's size."""
        count = min(len(held_out), self.val_classes or len(held_out))
        found = []
        for number in range(count):
            row = held_out.sample(number * len(held_out) // count)
            images, masks = (row[name][: int(row["pairs"])].to(self.device) for name in ("image", "mask"))
            shots = int(row["shots"])
            model = self.episode_model(network, images[:shots], masks[:shots])
            found.append(ious(in_batches(model, images[shots:]) >= DECISION, masks[shots:]).cpu())
        return float(torch.cat(found).mean())

    def _augment(self) -> Augment:
        whole = cropped(self._transform(), self.cropped_to)
        change = jointly(whole) if whole is not None else None

        def drawn(row: Batch) -> Batch:
            pairs = int(row["pairs"])
            order = torch.randperm(pairs)
            support, rest = order[: self.shots], order[self.shots :]
            # A class with too few pairs asks for some queries twice.
            chosen = torch.cat([support, rest[torch.arange(self.queries) % len(rest)]])
            episode = {name: row[name][chosen] for name in ("image", "mask")}
            return change(episode) if change else episode

        return drawn

    def _arrays(self, split: Dataset, folder: Path) -> TrainingArrays:
        """One row a class: its support first, then its queries, then nothing up to the largest class's number."""
        classes = _classes(split)
        shots = len(_support(split[0], split.name)) if len(split) else 0
        side, most = self.size, shots + max(map(len, classes), default=0)
        fields: dict[str, Any] = {
            "image": ((most, 3, side, side), np.uint8),
            "mask": ((most, 1, side, side), np.bool_),
            "pairs": ((), np.int64),
            "shots": ((), np.int64),
        }

        def fill(index: int) -> dict[str, np.ndarray]:
            row = {name: np.zeros(shape, dtype) for name, (shape, dtype) in fields.items()}
            queries = [split[place] for place in classes[index]]
            support = _support(queries[0], split.name)
            if len(support) != shots:
                fix = "give every class of the dataset as many"
                raise UserError(f"a support of {len(support)} where others have {shots}", queries[0].id, fix)
            pairs = [*support, *queries]
            if split.split == "train" and len(pairs) <= self.shots:
                problem = f"a class of {len(pairs)} pairs, but an episode is {self.shots} of support and a query"
                raise UserError(problem, queries[0].id, f"take shots={max(1, len(pairs) - 1)}")
            for place, pair in enumerate(pairs):
                row["image"][place], row["mask"][place] = self._framed(pair)
            return {**row, "pairs": np.array(len(pairs)), "shots": np.array(shots)}

        return TrainingArrays.build(folder, len(classes), fields, fill, f"{split.split} classes at {side} px")

    def _model_for(self, network: nn.Module, sample: Sample) -> Model:
        pairs = [self._framed(other) for other in _support(sample, sample.id)]
        images, masks = (np.stack(parts) for parts in zip(*pairs, strict=True))
        support = hashlib.blake2b(images.tobytes() + masks.tobytes()).hexdigest()
        if self._episode is None or self._episode.support != support or sample.id in self._episode.asked:
            given = (torch.from_numpy(part).to(self.device) for part in (images, masks))
            self._episode = _Episode(support, self.episode_model(network, *given))
        self._episode.asked.add(sample.id)
        return self._episode.model

    def _framed(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """uint8 ``3xSxS`` and bool ``1xSxS``."""
        image = framed(sample.image, self.size, self.resize, self.resized_by).transpose(2, 0, 1)
        return image, framed_mask(sample.mask, self.size, self.resize)[None]


def _classes(split: Dataset) -> list[list[int]]:
    """The places of each class's queries in the split; classes in order of appearance."""
    classes: dict[str, list[int]] = {}
    for place, sample_id in enumerate(split.ids):
        classes.setdefault(sample_id.rpartition("/")[0], []).append(place)
    return list(classes.values())


def _support(sample: Sample, where: str) -> tuple[Sample, ...]:
    """Raises UserError where there is none."""
    if not sample.support:
        fix = "run it on a few-shot dataset (fss1000, with shots above 0), or take another base"
        raise UserError("samples without support for a few-shot base", where, fix)
    return sample.support
