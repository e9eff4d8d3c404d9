"""The images that a refiner helped or hurt, of those whose pictures a run has kept: for notebooks."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.config import unknown
from bench.contracts import KEPT_RULES, Image, Mask, ProbabilityMap, UserError
from bench.datasets.splits import drawn
from bench.images import webp
from bench.redaction import printable
from bench.reports.reading import Found
from bench.reports.selection import Selected, compared_by
from bench.store import KeptImage, Store
from bench.store.kept import ALL

_IOU = "iou"
_SHOWN = ("image", "base", "refined", "truth")


@dataclass(frozen=True)
class ShownImage:
    """One image before and after.

    Attributes:
        id: of the image.
        cell: whose it is: ``dataset > base > refiner (seed)``.
        gain: in IoU over the base's own map, a fraction; NaN where the store has no cell of the base's own.
        iou: of the refined map.
        image: uint8 ``(H, W, 3)``, RGB, with the loss of WebP.
        base, refined: float32 ``(H, W)`` in [0, 1], in steps of 1/255; ``>= 0.5`` is what was scored.
        truth: bool ``(H, W)``; False where it is void.
        void: bool ``(H, W)``: pixels that count for nothing.
    """

    id: str
    cell: str
    gain: float
    iou: float
    image: Image
    base: ProbabilityMap
    refined: ProbabilityMap
    truth: Mask
    void: Mask
    pictures: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, store: Store, kept: KeptImage, cell: str, gain: float, iou: float) -> ShownImage:
        """Read it. Raises UserError where a picture is damaged or missing."""
        pictures = {kind: store.picture(getattr(kept, kind)) for kind in _SHOWN}
        codes = webp.read_codes(pictures["truth"])
        base, refined = (_probabilities(pictures[kind]) for kind in ("base", "refined"))
        image, truth, void = webp.read_rgb(pictures["image"]), codes == webp.OBJECT, codes == webp.VOID
        return cls(kept.id, cell, gain, iou, image, base, refined, truth, void, tuple(pictures.values()))

    @property
    def caption(self) -> str:
        """What is said of it, in one line."""
        gain = "" if np.isnan(self.gain) else f", gain {100 * self.gain:+.2f} points"
        return f"IoU {100 * self.iou:.2f} %{gain}"


class ShownImages(Sequence[ShownImage]):
    """Images before and after, as a notebook shows them: a line each, with image, base's map, refined map and truth."""

    def __init__(self, images: Sequence[ShownImage]) -> None:
        self._images = tuple(images)

    def __getitem__(self, index: int, /) -> ShownImage:  # type: ignore[override]
        return self._images[index]

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[ShownImage]:
        return iter(self._images)

    def __repr__(self) -> str:
        return "\n".join(f"{printable(image.id)}: {image.caption} ({image.cell})" for image in self._images)

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{name}</th>" for name in _SHOWN)
        rows = "".join(map(_row, self._images))
        return f"<table><thead><tr><th>of</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def images(
    store: Store,
    found: Found,
    baseline: str,
    which: str,
    *,
    refiner: str,
    base: str | None = None,
    dataset: str | None = None,
    n: int = 8,
) -> ShownImages:
    """See `bench.commands.results.Results.images`."""
    if which not in KEPT_RULES:
        raise unknown("rule", which, KEPT_RULES, "images()")
    unrefined = {
        compared_by(cell.manifest): found.scores[cell.manifest.key]
        for cell in reversed(found.cells)
        if cell.refiner == baseline and cell.manifest.key in found.scores
    }
    candidates: list[_Candidate] = []
    any_kept = False
    for cell in _cells(found, refiner, base, dataset):
        kept = store.kept(cell.manifest.key)
        any_kept |= bool(kept)
        scores = found.scores[cell.manifest.key]
        iou = pd.Series(scores[_IOU], scores.images)
        own = unrefined.get(compared_by(cell.manifest))
        before = np.nan if own is None else pd.Series(own[_IOU], own.images).reindex(iou.index)
        gains = iou - before
        ranks = _ranks(which, gains)
        fitting = [image for image in kept if not {which, ALL}.isdisjoint(image.why) and not np.isnan(ranks[image.id])]
        candidates += [_Candidate(ranks[one.id], cell, one, gains[one.id], iou[one.id]) for one in fitting]
    if not candidates:
        what = f"no pictures of {refiner} were kept by the rule {which}" if any_kept else f"no pictures of {refiner}"
        keep = f"{which}:{n}" if any_kept else "20"
        raise UserError(what, store.address, f"say 'bench run --keep-maps {keep}' with the options of the run")
    if which == "random":
        some = set(drawn(list(dict.fromkeys(one.image.id for one in candidates)), n))
        candidates = [one for one in candidates if one.image.id in some]
    candidates.sort(key=lambda one: one.rank)
    return ShownImages([one.shown(store) for one in candidates[:n]])


class _Candidate(NamedTuple):
    """An image with the place that a rule gives it, lowest first."""

    rank: float
    cell: Selected
    image: KeptImage
    gain: float
    iou: float

    def shown(self, store: Store) -> ShownImage:
        cell = self.cell
        name = f"{cell.dataset} > {cell.base} > {cell.refiner} (seed {cell.manifest.seed})"
        return ShownImage.of(store, self.image, name, self.gain, self.iou)


def _cells(found: Found, refiner: str, base: str | None, dataset: str | None) -> list[Selected]:
    cells = [cell for cell in found.cells if cell.manifest.status == "done"]
    for kind, name in (("refiner", refiner), ("base", base), ("dataset", dataset)):
        named = [cell for cell in cells if name is None or getattr(cell, kind) == name]
        if not named:
            raise unknown(kind, str(name), {getattr(cell, kind) for cell in cells}, "images()")
        cells = named
    return cells


def _ranks(which: str, gains: pd.Series) -> pd.Series:
    """By id; a random sample stays in the order of the records."""
    if which == "random":
        return gains.fillna(0.0) * 0.0
    return {"best": -gains, "median": (gains - gains.median()).abs(), "worst": gains}[which]


def _probabilities(content: bytes) -> NDArray[np.float32]:
    # 128/255 is above one half, 127/255 below: the mask is the one that was scored.
    return webp.read_codes(content).astype(np.float32) / np.float32(255)


def _row(image: ShownImage) -> str:
    name = html.escape(printable(image.id))
    said = f"<bdi>{name}</bdi><br>{html.escape(image.caption)}<br>{html.escape(image.cell)}"
    cells = "".join(
        f'<td><img alt="{kind} of {name}" style="max-width:16em" '
        f'src="data:image/webp;base64,{base64.b64encode(content).decode()}"></td>'
        for kind, content in zip(_SHOWN, image.pictures, strict=True)
    )
    return f'<tr><td style="text-align:left">{said}</td>{cells}</tr>'
