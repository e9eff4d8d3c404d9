"""`score`: a folder of maps against a folder of masks, whatever made the maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.config import load
from bench.contracts import DECISION
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
from bench.images import resize as resized
from bench.metrics import iou_dataset
from bench.metrics.columns import COSTS, COUNTS, IMAGE_METRICS, METRICS, SET_IOU
from bench.metrics.columns import score as score_map
from bench.plugins import metrics as plugged_in
from bench.runtime.names import match, need_partners, side
from bench.runtime.progress import note, track

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
        config: settings instead of ``./bench.toml``.

    Returns:
        One row an image with `SCORE_COLUMNS` but ``iou_dataset``, a column for each of ``metric``, and `COUNTS`. Its
        ``attrs["remarks"]`` are sentences that belong beside the numbers.

    Raises:
        UserError: a folder is missing or empty, names do not match, a map has no mask, is of another size or not a
            map; or a plug-in is unknown or fails.
    """
    metrics = plugged_in.made(plugged_in.chosen(metric, load(config)))
    plugged_in.columns(metrics)  # one that declares them wrongly would fail in a run
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
    rows = []
    any_truth = any_found = False
    other_sizes = 0
    for sample_id in track(sorted(found.pairs), "score"):
        mask_file, map_file = found.pairs[sample_id]
        mask, ignored = truths.read(mask_file)
        probs = probabilities.read(map_file)
        if probs.shape != mask.shape:
            probs = resized(probs, *mask.shape)
            other_sizes += 1
        any_truth, any_found = any_truth or bool(mask.any()), any_found or bool((probs >= DECISION).any())
        own = plugged_in.values(metrics, probs, mask, str(map_file), ignored)
        rows.append({"id": sample_id, **score_map(probs, mask, ignore=ignored), **own})
    if not any_truth:
        note(f"warning: {ALL_EMPTY}")
    if not any_found:
        note(f"warning: {NOTHING_FOUND}")
    scores = pd.DataFrame(rows).reindex(columns=[*SCORE_COLUMNS, *metrics, *COUNTS])
    rule = "area averaging where a map shrinks, else bilinear"
    scores.attrs["remarks"] = [f"{other_sizes} maps resized to their masks' sizes ({rule})"] if other_sizes else []
    return scores


def plugged_in_columns(scores: pd.DataFrame) -> list[str]:
    """The columns of the metrics that `score` was given."""
    return [column for column in map(str, scores.columns) if column not in (*SCORE_COLUMNS, *COUNTS)]


def means(scores: pd.DataFrame) -> dict[str, float]:
    """Mean over the images of each metric (undefined ones left out), and the IoU of the summed pixel counts."""
    columns = [*(metric.key for metric in IMAGE_METRICS), *plugged_in_columns(scores)]
    of_the_split = iou_dataset(*(scores[count].tolist() for count in COUNTS))
    return {**{column: float(scores[column].mean()) for column in columns}, SET_IOU.key: of_the_split}
