"""`score`: a folder of maps against a folder of masks, whatever made the maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.config import load
from bench.contracts import DECISION, UserError
from bench.images import IMAGE_SUFFIXES, MAP_SUFFIXES, MapFiles, MaskFiles
from bench.metrics import iou_dataset
from bench.metrics.columns import COSTS, COUNTS, IMAGE_METRICS, METRICS, SET_IOU
from bench.metrics.columns import score as score_map
from bench.plugins import metrics as plugged_in
from bench.runtime.folders import files_by_id
from bench.runtime.progress import note, track

SCORE_COLUMNS = ("id", *(facts.key for facts in (*METRICS, *COSTS)))
"""Columns of ``bench score --out``. Those that one image's map cannot tell (its cost, a split's IoU) stay empty."""


def score(
    masks: Path,
    maps: Path,
    *,
    metric: Sequence[str] = (),
    classes: Sequence[int] = (),
    ignore: Sequence[int] = (),
    map_scale: float | None = None,
    config: Path | None = None,
) -> pd.DataFrame:
    """Score a folder of probability maps against a folder of masks, matched by file name without its suffix.

    Args:
        masks: images of the ground truth; subfolders count as part of the id.
        maps: 8/16-bit PNG or NPY maps, each of its mask's size. Masks without a map are left out.
        metric: plug-ins to score by, too, as ``name[key=value]``.
        classes: grey values or palette indices of the masks that are the foreground; none finds out, see
            `bench.images.masks`.
        ignore: those whose pixels no metric counts.
        map_scale: the value of the maps that stands for probability 1; None finds out, see `bench.images.maps`.
        config: settings instead of ``./bench.toml``.

    Returns:
        One row an image with `SCORE_COLUMNS` but ``iou_dataset``, a column for each of ``metric``, and `COUNTS`.

    Raises:
        UserError: a folder is missing or empty, a map has no mask, is of another size or not a map; or a plug-in
            is unknown or fails.
    """
    metrics = plugged_in.made(plugged_in.chosen(metric, load(config)))
    plugged_in.columns(metrics)  # one that declares them wrongly would fail in a run
    mask_files, map_files = files_by_id(masks, IMAGE_SUFFIXES, "--masks"), files_by_id(maps, MAP_SUFFIXES, "--maps")
    strangers = sorted(map_files.keys() - mask_files.keys())
    if strangers:
        raise UserError(
            f"{len(strangers)} maps have no mask, e.g. {strangers[0]}", maps, "give both the same file names"
        )
    if len(map_files) < len(mask_files):
        note(f"{len(map_files)} of {len(mask_files)} masks have a map; the others are left out")
    truths = MaskFiles([mask_files[sample_id] for sample_id in map_files], tuple(classes), tuple(ignore))
    probabilities = MapFiles([*map_files.values()], map_scale)
    note(f"masks: {truths.said()}; maps: {probabilities.said()}")
    rows = []
    any_truth = any_found = False
    for sample_id in track(sorted(map_files), "score"):
        mask, ignored = truths.read(mask_files[sample_id])
        probs = probabilities.read(map_files[sample_id])
        if probs.shape != mask.shape:
            raise UserError(
                f"the map is {probs.shape} and its mask {mask.shape}",
                map_files[sample_id],
                "resize the map to the mask",
            )
        any_truth, any_found = any_truth or bool(mask.any()), any_found or bool((probs >= DECISION).any())
        own = plugged_in.values(metrics, probs, mask, str(map_files[sample_id]), ignored)
        rows.append({"id": sample_id, **score_map(probs, mask, ignore=ignored), **own})
    if not any_truth:
        note("warning: every mask is empty: look at what the masks were taken for")
    if not any_found:
        note("warning: no map reaches 0.5, so that nothing is predicted: look at what the maps were taken for")
    return pd.DataFrame(rows).reindex(columns=[*SCORE_COLUMNS, *metrics, *COUNTS])


def plugged_in_columns(scores: pd.DataFrame) -> list[str]:
    """The columns of the metrics that `score` was given."""
    return [column for column in map(str, scores.columns) if column not in (*SCORE_COLUMNS, *COUNTS)]


def means(scores: pd.DataFrame) -> dict[str, float]:
    """Mean over the images of each metric (undefined ones left out), and the IoU of the summed pixel counts."""
    columns = [*(metric.key for metric in IMAGE_METRICS), *plugged_in_columns(scores)]
    of_the_split = iou_dataset(*(scores[count].tolist() for count in COUNTS))
    return {**{column: float(scores[column].mean()) for column in columns}, SET_IOU.key: of_the_split}
