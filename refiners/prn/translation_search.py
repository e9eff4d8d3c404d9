"""Translations of class probabilities that maximise patches' mean IoU: line searches, and ascents made of them.

Everything works on B patches of N pixels at once. A translation t in R^m labels a pixel ``argmax(probs + t)``, the
lowest class where several are highest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Classes = NDArray[np.uint16]

GAP = 1e-12
"""Breakpoints nearer than this are one: a float64 sum between them could fall on either side."""

MARGIN = 1 / 1024
"""How far beyond the outermost breakpoint a translation goes."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The highest of several classes at every pixel.

    Attributes:
        height: float64 ``(B, N)``: its probability plus its translation.
        label: uint16 ``(B, N)``: which class it is.
    """

    height: Floats
    label: Classes

    def over(self, other: Envelope) -> Envelope:
        """The higher of both; this one where they are equal."""
        return Envelope(
            np.maximum(self.height, other.height), np.where(self.height >= other.height, self.label, other.label)
        )


def class_ious(labels: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> Floats:
    """IoU of every class, ``(B, classes)``; 1 for a class in neither the labels nor the truth.

    Args:
        labels, truth: classes ``(B, N)``.
        classes: m.
    """
    predicted, real = counts(labels, classes), counts(truth, classes)
    return _iou(counts(labels, classes, where=labels == truth), predicted, real)


def counts(labels: NDArray[np.integer], classes: int, where: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Pixels of every class in each row, ``(B, classes)``; those in ``where`` alone if it is given."""
    flat = labels + classes * np.arange(len(labels), dtype=np.int64)[:, None]
    chosen = flat.ravel() if where is None else flat[where]
    return np.bincount(chosen, minlength=len(labels) * classes).reshape(len(labels), classes)


def _iou(hits: np.ndarray, predicted: np.ndarray, real: np.ndarray) -> Floats:
    union = real + predicted - hits
    # 0/0: a hit more and a pixel more make it 1.
    empty = union == 0
    return (hits + empty) / (union + empty)


class Ascent:
    """Coordinate ascent on the translations of B patches, each along its own classes, with an exact line search.

    Args:
        probs: float64 ``(m, B, N)``.
        truth: uint16 ``(B, N)``.
    """

    def __init__(self, probs: Floats, truth: Classes) -> None:
        self.probs, self.truth = probs, truth
        self.classes = len(probs)
        self.real = counts(truth, self.classes)

    def labels(self, translations: Floats) -> Classes:
        """``(B, N)`` for translations ``(B, m)``."""
        return self._envelopes(translations)[0].label

    def score(self, translations: Floats) -> Floats:
        """Mean IoU ``(B,)`` of `labels`."""
        return class_ious(self.labels(translations), self.truth, self.classes).mean(axis=1)

    def climb(self, translations: Floats) -> tuple[Floats, Floats]:
        """From each patch's translation to one from which no single class leads higher.

        Args:
            translations: ``(B, m)``, where to start.

        Returns:
            The translations ``(B, m)`` and their mean IoUs ``(B,)``, nowhere lower than at the start.
        """
        translations, scores = translations.copy(), self.score(translations)
        rows, problem = np.arange(len(scores)), self
        while rows.size:
            found, reached = translations[rows], scores[rows]
            problem._move_every_class(found, reached)
            gained = reached > scores[rows]
            translations[rows], scores[rows] = found, reached
            if not gained.all():
                rows = rows[gained]
                problem = Ascent(self.probs[:, rows], self.truth[rows])
        return translations, scores

    def _move_every_class(self, translations: Floats, scores: Floats) -> None:
        """One round of coordinate ascent, in place."""
        # A class's rivals are those before it, already moved, and those after it, still to come.
        later: list[Envelope | None] = [*self._envelopes(translations)[1:], None]
        earlier: Envelope | None = None
        for which, rivals in enumerate(later):
            if earlier is not None:
                rivals = earlier if rivals is None else earlier.over(rivals)
            assert rivals is not None
            self._move(which, rivals, translations, scores)
            moved = self._single(which, translations)
            earlier = moved if earlier is None else earlier.over(moved)

    def _move(self, which: int, rivals: Envelope, translations: Floats, scores: Floats) -> None:
        """Move a class's translation where that raises a patch's score; in place."""
        steps, hoped = self._line_search(self._single(which, translations), rivals)
        better = hoped > scores + GAP
        if not better.any():
            return
        moved = translations.copy()
        moved[:, which] += np.where(better, steps, 0)
        # The search's sums have rounding errors: what counts is what the translation does.
        labels = np.where(self._single(which, moved).height > rivals.height, which, rivals.label)
        found = class_ious(labels, self.truth, self.classes).mean(axis=1)
        better &= found > scores
        translations[better], scores[better] = moved[better], found[better]

    def _single(self, which: int, translations: Floats) -> Envelope:
        height = self.probs[which] + translations[:, which, None]
        return Envelope(height, np.broadcast_to(np.uint16(which), height.shape))

    def _envelopes(self, translations: Floats) -> list[Envelope]:
        """Of the classes from the i-th on, for every i."""
        found = [self._single(self.classes - 1, translations)]
        for which in range(self.classes - 2, -1, -1):
            found.append(self._single(which, translations).over(found[-1]))
        return found[::-1]

    def _line_search(self, own: Envelope, rivals: Envelope) -> tuple[Floats, Floats]:
        """The best step of the class of ``own``: steps ``(B,)`` and the mean IoUs ``(B,)`` they reach.

        With a step s a pixel belongs to the class where ``s > rivals.height - own.height``, its breakpoint. All
        intervals between breakpoints are tried; of equally good ones the nearest to no step wins.
        """
        breaks = rivals.height - own.height
        order = np.argsort(breaks, axis=1)
        breaks, truth, theirs = (_taken(array, order) for array in (breaks, self.truth, rivals.label))
        # Before the first breakpoint all pixels are the rivals', after the last one none.
        start = _iou(counts(theirs, self.classes, theirs == truth), counts(theirs, self.classes), self.real)
        # Seen from the far end, the rivals gain pixels as well.
        changes = self._gains(own.label, truth) - self._gains(theirs[:, ::-1], truth[:, ::-1])[:, ::-1]
        sums = np.concatenate([start.sum(axis=1, keepdims=True), changes], axis=1).cumsum(axis=1)
        edges = np.concatenate([breaks[:, :1] - 2 * MARGIN, breaks, breaks[:, -1:] + 2 * MARGIN], axis=1)
        sums[edges[:, 1:] - edges[:, :-1] <= GAP] = -np.inf
        best = sums.max(axis=1)
        middles = (edges[:, :-1] + edges[:, 1:]) / 2
        distances = np.where(sums >= best[:, None] - GAP, np.abs(middles), np.inf)
        steps = np.take_along_axis(middles, distances.argmin(axis=1)[:, None], axis=1)[:, 0]
        return steps, best / self.classes

    def _gains(self, labels: Classes, truth: Classes) -> Floats:
        """What each pixel adds to the sum of IoUs if, from left to right, the classes of ``labels`` gain them."""
        order = np.argsort(labels, axis=1, kind="stable")
        labels, truth = _taken(labels, order), _taken(truth, order)
        hit = labels == truth
        group = labels + self.classes * np.arange(len(labels))[:, None]
        sizes = np.bincount(group.ravel(), minlength=len(labels) * self.classes)
        begins = sizes.cumsum() - sizes
        hits = np.concatenate([[0], hit.ravel().cumsum()])
        hits_before = hits[begins].take(group)
        predicted = np.arange(group.size).reshape(group.shape) - begins.take(group)
        reached = hits[:-1].reshape(group.shape) - hits_before
        real = self.real.take(group)
        gains = _iou(reached + hit, predicted + 1, real) - _iou(reached, predicted, real)
        changes = np.empty(labels.shape)
        np.put_along_axis(changes, order, gains, axis=1)
        return changes


def _taken(array: np.ndarray, order: NDArray[np.intp]) -> np.ndarray:
    """`numpy.take_along_axis` along the last of two axes, at a third of its time."""
    rows = np.arange(0, order.size, order.shape[1])[:, None]
    return np.ascontiguousarray(array).ravel().take(order + rows)
