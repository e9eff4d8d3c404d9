"""`score`: a folder of maps against a folder of masks, whatever made the maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench.commands.scoring import Files, Scoring, scored
from bench.config import Grid, load
from bench.images import (
    ALL_EMPTY,
    IMAGE_SUFFIXES,
    MAP_SUFFIXES,
    NOTHING_FOUND,
    MapFiles,
    MaskFiles,
    check_map_size,
    stored_size,
)
from bench.metrics import iou_dataset
from bench.metrics.columns import COSTS, COUNTS, IMAGE_METRICS, METRICS, SET_IOU
from bench.metrics.curves import mean_curve, summarised
from bench.plugins import metrics as plugged_in
from bench.redaction import cell
from bench.runtime.names import match, need_partners, side
from bench.runtime.progress import note
from bench.store import PluggedMetric

SCORE_COLUMNS = ("id", *(facts.key for facts in (*METRICS, *COSTS)))
"""Columns of ``bench score --out``. Those that one image's map cannot tell (its cost, a split's IoU) stay empty."""


def score(
    masks: Path,
    maps: Path,
    *,
    mask_pattern: str = "",
    map_pattern: str = "",
    resize: bool = False,
    metric: Sequence[str] = (),
    classes: Sequence[int] = (),
    ignore: Sequence[int] = (),
    map_scale: float | None = None,
    workers: int | None = None,
    config: Path | None = None,
) -> pd.DataFrame:
    """Score probability maps against masks, matched by file name without its suffix, see `bench.runtime.names`.

    Args:
        masks: a folder of images of the ground truth, its subfolders are part of the id; or one file.
        maps: a folder of 8/16-bit PNG or NPY maps, each of its mask's size; or one file. Masks without a map are left
            out. Of two single files the names do not matter.
        mask_pattern, map_pattern: of the names, with one ``*`` for the part that both share: ``*_mask``.
        resize: resize a map of another size to its mask's: by area averaging where its number of pixels falls, else
            bilinear.
        metric: plug-ins to score by, too, as ``name[key=value]``.
        classes: grey values or palette indices of the masks that are the foreground; none finds out, see
            `bench.images.masks`.
        ignore: those whose pixels no metric counts.
        map_scale: the value of the maps that stands for probability 1; None finds out, see `bench.images.maps`.
        workers: processes that score side by side, one native thread each; it changes no number. None takes as many as
            there are cores and it is worth: a few images are scored here, by how long they take.
        config: settings instead of ``./bench.toml``.

    Returns:
        One row an image with `SCORE_COLUMNS` but ``iou_dataset``, a column for each of ``metric``, of lists where it
        is a curve, and `COUNTS`. Its ``attrs["remarks"]`` are sentences that belong beside the numbers,
        ``attrs["metrics"]`` what each of ``metric`` says of its column.

    Raises:
        UserError: a folder is missing or empty, names do not match, a map has no mask, is of another size or not a
            map; or a plug-in is unknown or fails.
    """
    workers = Grid.of(workers=workers).workers
    metrics = plugged_in.chosen(metric, load(config))
    said = plugged_in.columns(plugged_in.made(metrics))
    mask_files = side(masks, IMAGE_SUFFIXES, "masks", "--masks", "--mask-pattern", mask_pattern)
    map_files = side(maps, MAP_SUFFIXES, "maps", "--maps", "--map-pattern", map_pattern)
    found = match(mask_files, map_files)
    need_partners(found, mask_files, map_files)
    if found.first_left:
        total = len(found.pairs) + len(found.first_left)
        note(f"{len(found.pairs)} of {total} masks have a map; the others are left out")
    truths = MaskFiles([mask_file for mask_file, _ in found.pairs.values()], tuple(classes), tuple(ignore))
    probabilities = MapFiles([map_file for _, map_file in found.pairs.values()], map_scale)
    if not resize:
        # By the headers: before any file, however large, takes memory, and before the work.
        for mask_file, map_file in found.pairs.values():
            say = "--resize to resize maps to their masks"
            check_map_size(stored_size(map_file), stored_size(mask_file), map_file, whose="mask", say=say)
    note(f"masks: {truths.said()}; maps: {probabilities.said()}")
    files = [Files(sample_id, *found.pairs[sample_id]) for sample_id in sorted(found.pairs)]
    all_of_them = scored(partial(Scoring, truths, probabilities, metrics), files, workers)
    if not all_of_them.truth:
        note(f"warning: {ALL_EMPTY}")
    if not all_of_them.prediction:
        note(f"warning: {NOTHING_FOUND}")
    scores = pd.DataFrame(all_of_them.rows).reindex(columns=[*SCORE_COLUMNS, *metrics, *COUNTS])
    rule = "area averaging where a map shrinks, else bilinear"
    count = all_of_them.resized
    scores.attrs["remarks"] = [f"{count} maps resized to their masks' sizes ({rule})"] if count else []
    scores.attrs["metrics"] = said
    return scores


def means(scores: pd.DataFrame) -> dict[str, float]:
    """Mean over the images of each metric (undefined ones left out), and the IoU of the summed pixel counts.

    Of a curve it is the summary of the mean curve, see `bench.contracts.Metric`; one without a summary is left out.
    """
    found = {metric.key: float(scores[metric.key].mean()) for metric in IMAGE_METRICS}
    for name, metric in _said(scores).items():
        if metric.summary != "none":
            mean = mean_curve(scores[name].tolist()) if metric.curve else [scores[name].mean()]
            found[name] = summarised(mean, metric.summary)
    return {**found, SET_IOU.key: iou_dataset(*(scores[count].tolist() for count in COUNTS))}


def undefined(scores: pd.DataFrame, name: str) -> int:
    """The number of images for which a metric that each image has of its own is undefined, a curve all along."""
    metric = _said(scores).get(name)
    if metric is None or not metric.curve:
        return int(scores[name].isna().sum())
    return int(np.isnan(scores[name].tolist()).all(axis=1).sum())


def flat(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores as a CSV file holds them: a curve as a JSON list in its field; without the `COUNTS`."""
    curves = {name: scores[name].map(json.dumps) for name, metric in _said(scores).items() if metric.curve}
    return scores.assign(id=scores["id"].map(cell), **curves).drop(columns=[*COUNTS])


def _said(scores: pd.DataFrame) -> dict[str, PluggedMetric]:
    return dict(scores.attrs["metrics"])
