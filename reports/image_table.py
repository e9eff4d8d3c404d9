"""A table of the images, which results are split and resampled by: a CSV, the user's or of ``bench data describe``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.contracts import UserError

ID, GROUP = "id", "group"


def read_images(path: Path) -> pd.DataFrame:
    """One line an image; its index is the column ``id``, as text; columns that hold numbers alone are float64.

    Raises:
        UserError: it cannot be read, has no column ``id``, an image twice, or nothing but ids.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no table of images: {str(error).splitlines()[0]}", path, "give a CSV with a column id"
        ) from None
    if ID not in frame.columns:
        raise UserError(f"no column {ID!r}; it has {', '.join(frame.columns[:6])}", path, "name the images in one")
    if twice := frame[ID][frame[ID].duplicated()].tolist():
        raise UserError(f"{twice[0]!r} is there twice", path, "give each image one line")
    frame = frame.set_index(ID)
    if frame.columns.empty:
        raise UserError("it has nothing but ids", path, "add columns, or write them with 'bench data describe'")
    return frame.apply(_typed)


def groups_of(images: pd.DataFrame | None) -> Mapping[str, str] | None:
    """Image id -> its group, of the column ``group`` where there is one; an empty field is a group of its own."""
    if images is None or GROUP not in images.columns:
        return None
    named = images[GROUP].astype(str)
    return dict(named[named != ""])


def _typed(column: pd.Series[str]) -> pd.Series:
    """Numbers, where all that is not empty is one; a group's name is never a number."""
    if column.name == GROUP:
        return column
    numbers = pd.to_numeric(column.where(column.str.strip() != ""), errors="coerce")
    return numbers.astype("float64") if numbers.notna().sum() == (column.str.strip() != "").sum() else column
