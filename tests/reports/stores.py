"""Small stores, made by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics.columns import RECORD_COLUMNS
from bench.store import LAYOUT, Manifest, Store

NAN = float("nan")


def records(iou: Sequence[float] | NDArray[np.float64], **columns: Any) -> pd.DataFrame:
    """Records with the given IoUs; every other metric is as given, or not defined."""
    frame = pd.DataFrame({name: NAN for name in RECORD_COLUMNS}, index=range(len(iou)))
    frame = frame.assign(id=[f"image{i}" for i in range(len(iou))], iou=iou, intersection=1, union=2)
    return frame.assign(**columns)


def add(
    store: Store, refiner: str, iou: Sequence[float] | NDArray[np.float64] | pd.DataFrame | None, **fields: Any
) -> Manifest:
    """Write a cell: done where there are values, else as ``status`` says."""
    frame = iou if iou is None or isinstance(iou, pd.DataFrame) else records(iou)
    defaults = {
        "status": "planned" if frame is None else "done",
        "layout": LAYOUT,
        "dataset": "roads",
        "base": "unet",
        "seed": 0,
        "protocol": "A",
        "images": 0 if frame is None else len(frame),
        "identity": {"base": "weights", "test": "files", "metrics": 1},
    }
    content = {**defaults, "refiner": refiner, **fields}
    manifest = Manifest.model_validate({"key": hashlib.md5(repr(content).encode()).hexdigest(), **content})
    if manifest.layout < LAYOUT:
        leave_earlier(store, manifest, frame)
    elif frame is None:
        store.enter(manifest)
    else:
        store.add(manifest, frame)
    return manifest


def leave_earlier(store: Store, manifest: Manifest, frame: pd.DataFrame | None) -> None:
    """The files of a cell as versions before layout 3 have written them: no digests, no generation."""
    folder = Path(store.address, "cells")
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{manifest.dataset}__{manifest.base}__{manifest.refiner}__s0__{manifest.key[:12]}".replace("[", "_")
    content = manifest.model_dump(exclude={"file", "generation", "records"})
    (folder / f"{stem}.json").write_text(json.dumps(content))
    if frame is not None:
        frame.to_parquet(folder / f"{stem}.parquet", index=False)
