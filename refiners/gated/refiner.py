"""The gate as a refiner: it holds another one, and hands out its map or the base's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.contracts import (
    DECISION,
    Budget,
    Image,
    MapDataset,
    ProbabilityMap,
    Refiner,
    Sample,
    SearchSpace,
    Span,
    UserError,
)
from bench.cross_fitting import Unseen, check_enough, check_inner
from bench.refiners.gated.features import features
from bench.refiners.gated.judgement import HARM, Judged
from bench.refiners.looks import overlap
from bench.runtime.progress import note, track


class Gated(Refiner):
    """A refiner that may be declined: each image's refined map is kept only where it is likely to be the better one.

    Val's images are refined by what has not learned from them (`bench.contracts.CrossFitted`; a refiner that learns
    and cannot tell is fitted five times more, each time without a fifth of val). Trees learn to predict the gain in
    IoU from what can be seen without a label (`features`). On the gains that they predict for images which they have
    not seen a line is drawn, so that at most ``risk`` of all images lose more than a point (`Judged.line`); what is
    predicted to gain nothing is not refined either. Ours; we know of no paper of it.

    Args:
        refiner: what is gated, e.g. ``gated[refiner=prn-fast[size=256]]``.
        risk: share of images that may lose more than a point of IoU, on average over draws of val. 1 asks for a
            predicted gain alone.
    """

    trainable = True
    search_space: ClassVar[SearchSpace] = {"risk": Span(0.02, 0.3, log=True)}
    cost: ClassVar[Budget] = Budget(seconds=0.2, memory_mb=60)  # its own; the refiner's comes on top

    def __init__(self, *, refiner: Refiner, risk: float = 0.1, seed: int = 0) -> None:
        if not 0 < risk <= 1:
            raise UserError(f"risk={risk:g}", "gated[risk=...]", "give a share of the images, above 0 and at most 1")
        self.refiner, self.risk, self.seed = refiner, risk, seed
        self._trees: Any = None
        self._line: float | None = None

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """See `bench.contracts.Refiner`. Leaves ``judged.npz``, from which the trees regrow, and ``refiner/``.

        Raises:
            UserError: val has fewer than two images.
        """
        check_enough(val, "gated")
        unseen = Unseen(self.refiner, val, workdir, self.seed)
        file = workdir / "judged.npz"
        first = not file.is_file()
        if first:
            self._judge(val, unseen).save(file)
        judged = Judged.load(file, self.seed)
        self._line = judged.line(self.risk)
        self._trees = judged.grown() if np.isfinite(self._line) else None
        if first:
            note(f"gated: {_said(judged, self._line)}")

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`."""
        check_inner(self.refiner)

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. Raises RuntimeError before `fit`."""
        if self._line is None:
            raise RuntimeError("fit() comes first")
        refined = self.refiner.refine(images, maps)
        if self._trees is None:
            return [probs.copy() for probs in maps]
        seen = [features(*one) for one in zip(images, maps, refined, strict=True)]
        kept = self._trees.predict(np.stack(seen)) >= self._line if seen else []
        return [after if keep else probs.copy() for keep, probs, after in zip(kept, maps, refined, strict=True)]

    def _judge(self, val: MapDataset, unseen: Unseen) -> Judged:
        seen, gains = [], []
        for index in track(range(len(val)), "judge what refining did to val"):
            sample, probs = val[index]
            refined = unseen.refine(val, index)
            seen.append(features(sample.image, probs, refined))
            gains.append(100 * (_iou(refined, sample) - _iou(probs, sample)))
        return Judged(tuple(val.ids), np.stack(seen), np.array(gains), self.seed)


def _iou(probs: ProbabilityMap, sample: Sample) -> float:
    if sample.ignore is None:
        return overlap(probs >= DECISION, sample.mask)
    counted = ~sample.ignore
    return overlap((probs >= DECISION) & counted, sample.mask & counted)


def _said(judged: Judged, line: float) -> str:
    """What val says of the gate, each image judged unseen: one line."""
    gains, kept = judged.gains, judged.unseen >= line
    held = np.where(kept, gains, 0)
    lost = [100 * (these < -HARM).mean() for these in (gains, held)]
    means = [these.mean() for these in (gains, held, np.maximum(gains, 0))]
    return (
        f"on val, unseen, it refines {100 * kept.mean():.0f} % of the images; gain {means[1]:+.2f} (always "
        f"{means[0]:+.2f}, with perfect knowledge {means[2]:+.2f}); lost {lost[1]:.0f} % (always {lost[0]:.0f} %)"
    )
