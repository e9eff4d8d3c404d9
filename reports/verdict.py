"""Which refiner to take on a base, in one sentence: what a table says to someone who has to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.reports.captions import listed
from bench.reports.columns import COST, NOT_AVAILABLE, QUALITY
from bench.reports.pairs import told_apart
from bench.reports.rows import Row
from bench.reports.statistics import FEW, FEW_MARK, POWER, Gain, points
from bench.reports.tables import Block

NAMED = 3
"""Of the refiners that are not told apart from the one to take, so many are named."""

_DECIDES = QUALITY[0].key
_SECONDS, _FIT = (next(column for column in COST if column.key == key) for key in ("seconds", "fit_seconds"))


def verdict(block: Block, baseline: str, names: Mapping[str, str]) -> str:
    """The one with the highest gain of mIoU whose interval excludes zero; or that none is shown to help.

    Oracles and contaminated rows are never the answer. Whether an interval excludes zero is judged as it is shown, in
    tenths of a point: what reads ``[0.0, +1.4]`` does not. Those that help, too, and whose paired difference from the
    best one has an interval that holds zero are not told apart from it.

    Args:
        block: the rows of one base.
        baseline: the refiner that stands for the base itself.
        names: what the refiners are called in the table.
    """
    others = [row for row in block.rows if row.refiner != baseline and not row.oracle]
    fair = [row for row in others if _DECIDES in row.gains and not row.contaminated]
    if not fair:
        return _nothing(others, baseline)
    ranked = sorted(fair, key=lambda row: row.gains[_DECIDES].mean, reverse=True)
    helping = [row for row in ranked if _helps(row.gains[_DECIDES])]
    best = (helping or ranked)[0]
    said = f"{names[best.refiner]}: {_bought(best)}"
    if not helping:
        parts = [f"No refiner is shown to help: keep the base's own map; nearest comes {said}"]
    else:
        parts = [f"Take {said}", *_alike(best, helping[1:], block, names)]
    seen = [row for row in others if row.contaminated and _gains_more(row, best)]
    if seen:
        parts.append(f"left out: {listed([names[row.refiner] for row in seen])} (‡), trained on test images")
    images = best.gains[_DECIDES].images
    if images < FEW:
        parts.append(
            "one image has no interval" if images == 1 else f"of only {images} images an interval covers less than 95 %"
        )
    return "; ".join(parts) + "."


def visible(block: Block) -> str:
    """The smallest gain of mIoU that the block's images can show, over its refiners; "" where none has an interval."""
    fair = [row.gains[_DECIDES] for row in block.rows if _DECIDES in row.gains and not row.oracle]
    found = sorted({f"{gain.visible * 100:.1f}" for gain in fair if gain.visible}, key=float)
    if not found:
        return ""
    groups, images = ({getattr(gain, which) for gain in fair} for which in ("groups", "images"))
    which = f"{max(groups)} groups" if None not in groups else f"{max(images)} images"
    sizes = f"{found[0]} points" if len(found) == 1 else f"{found[0]} to {found[-1]} points, by refiner"
    return f"Smallest gain in mIoU that {which} show with a chance of {POWER * 100:.0f} %: {sizes}."


def interval(gain: Gain) -> str:
    """In percent points: ``+0.8 [-1.7, +3.4]``; ``~[`` where the images are few."""
    ends = NOT_AVAILABLE if gain.low is None or gain.high is None else f"{points(gain.low)}, {points(gain.high)}"
    return f"{points(gain.mean)} {FEW_MARK if gain.few else ''}[{ends}]"


def _nothing(others: Sequence[Row], baseline: str) -> str:
    """Why no row can be the answer."""
    done = [row for row in others if row.status == "done"]
    if not others:
        return f"Nothing to compare: {baseline} alone is here."
    if not done:
        return "No refiner can be recommended: none has finished."
    if all(row.contaminated for row in done):
        return "No refiner can be recommended: public weights (‡) were trained on images that are tested on."
    return f"No refiner can be recommended: no finished cell of {baseline} is there to measure a gain over."


def _helps(gain: Gain) -> bool:
    return gain.low is not None and round(gain.low * 100, 1) > 0


def _bought(row: Row) -> str:
    """What is gained, and for what."""
    text = f"{interval(row.gains[_DECIDES])} points of mIoU"
    seconds, fit = row.values.get(_SECONDS.key), row.values.get(_FIT.key)
    if seconds is not None:
        text += f" for {_SECONDS.text(seconds).replace('<', 'under ')} s an image"
    if fit is not None:
        text += f" after {_FIT.text(fit).replace('<', 'under ')} s of fitting"
    return text


def _alike(best: Row, others: Sequence[Row], block: Block, names: Mapping[str, str]) -> list[str]:
    """Those that are not told apart from the best, fastest first."""
    apart = told_apart(best, others, QUALITY[0], block.groups)
    found = [row for row, differs in zip(others, apart, strict=True) if not differs]
    found.sort(key=lambda row: -_speed(row, best))
    if not found:
        return []
    alike = [f"{names[row.refiner]}{_times(_speed(row, best))}" for row in found[:NAMED]]
    if len(found) > NAMED:
        alike.append(f"{len(found) - NAMED} more")
    return [f"not told apart from it: {listed(alike)}"]


def _speed(row: Row, best: Row) -> float:
    """How many times as fast it is; 0 where that is not known."""
    own, other = row.values.get(_SECONDS.key), best.values.get(_SECONDS.key)
    return other / own if own and other else 0.0


def _times(speed: float) -> str:
    if speed < 1.5:
        return ""
    return f" ({'over 100' if speed > 100 else f'{speed:.0f}' if speed >= 10 else f'{speed:.2g}'} times as fast)"


def _gains_more(row: Row, best: Row) -> bool:
    return _DECIDES in row.gains and row.gains[_DECIDES].mean > best.gains[_DECIDES].mean
