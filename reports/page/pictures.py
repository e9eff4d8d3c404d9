"""The kept pictures of a row, and where its masks are wrong as pictures that can be laid over the image."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from PIL import Image as PillowImage

from bench.contracts import UserError
from bench.images.webp import OBJECT, read_codes
from bench.reports.captions import listed
from bench.reports.page.content import Files, digest
from bench.reports.page.lines import Line
from bench.reports.selection import Selected
from bench.store import Store
from bench.store.kept import KeptImage

HALF = 128
"""The least code of a kept map that stands for 0.5 and more."""

FALSE_POSITIVE, FALSE_NEGATIVE = (230, 120, 0), (0, 114, 210)
"""Orange and blue, which all kinds of colour vision tell apart; stripes and dots tell them apart without colour."""

_CLEAR, _FP, _STRIPE, _FN, _DOT = range(5)
_PALETTE = (0, 0, 0, *FALSE_POSITIVE, 255, 255, 255, *FALSE_NEGATIVE, 255, 255, 255)
_OPACITY = bytes((0, 175, 235, 175, 235))

_PERIODS = 48
"""Stripes that fit into the shorter side of a picture."""


@dataclass(frozen=True)
class Side:
    """A map that the page may show.

    Attributes:
        which: of the two that were kept.
    """

    store: Store
    kept: KeptImage
    which: Literal["base", "refined"]


def of_row(line: Line, store: Store, files: Files) -> list[dict[str, Any]]:
    """What the page knows of each image with pictures, of the first seed that kept it: base before, refined after."""
    found: dict[str, dict[str, Any]] = {}
    for manifest in line.finished:
        for kept in store.kept(manifest.key):
            if kept.id not in found:
                base, refined = Side(store, kept, "base"), Side(store, kept, "refined")
                found[kept.id] = {"why": kept.why, "seed": manifest.seed, **pictures(base, refined, files)}
    return list(found.values())


def of_cells(
    pairs: Sequence[tuple[Selected | None, Selected | None]], stores: tuple[Store, Store], files: Files
) -> list[dict[str, Any]]:
    """What the page knows of each image that one of two stores has pictures of: A's refined map before, B's after.

    Args:
        pairs: the cell of each seed in A and in B. Of the first seed that both kept it for, else of the first that one
            did.
    """
    found: dict[str, tuple[int, tuple[Side | None, Side | None]]] = {}
    for pair in pairs:
        one, other = (_kept(cell, store) for cell, store in zip(pair, stores, strict=True))
        seed = next(cell.manifest.seed for cell in pair if cell is not None)
        for name in dict.fromkeys((*one, *other)):
            if name not in found or (None in found[name][1] and name in one and name in other):
                found[name] = seed, (one.get(name), other.get(name))
    return [{"seed": seed, **_why(*sides), **pictures(*sides, files=files)} for seed, sides in found.values()]


def pictures(before: Side | None, after: Side | None, files: Files) -> dict[str, str]:
    """The names of the pictures of one image: its own, its truth, both maps and where they are wrong.

    Args:
        before, after: one at least; a side that there is not has no names.
        files: is given every picture.
    """
    first = before or after
    assert first is not None
    found = {"id": first.kept.id}
    for kind in ("image", "truth"):
        found[kind] = _put(first.store, getattr(first.kept, kind), files)
    for end, side in (("before", before), ("after", after)):
        if side is not None:
            truth, name = side.kept.truth, getattr(side.kept, side.which)
            found[end] = _put(side.store, name, files)
            found[f"{end}_errors"] = f"{digest(f'{truth} {name}'.encode())}.png"
            files.picture(found[f"{end}_errors"], partial(_errors, side.store, truth, name))
    return found


def errors(truth: bytes, probs: bytes) -> bytes:
    """A PNG, clear where the mask is right: false positives with stripes, false negatives with dots. Void is clear.

    Args:
        truth, probs: pictures of one size, as `bench.store.kept.KeptImage` tells them.

    Raises:
        UserError: they differ in size.
    """
    right, given = read_codes(truth), read_codes(probs)
    if right.shape != given.shape:
        said = f"a map of {given.shape[1]}x{given.shape[0]} for a truth of {right.shape[1]}x{right.shape[0]}"
        raise UserError("kept pictures of two sizes", said, "run the cell again with --force")
    rows, columns = np.indices(right.shape)
    period = max(4, round(min(right.shape) / _PERIODS))
    stripe = (rows + columns) % period < period / 3
    dot = ((rows % period) < period / 2) & ((columns % period) < period / 2)
    codes = np.full(right.shape, _CLEAR, np.uint8)
    codes[(right == 0) & (given >= HALF)] = _FP
    codes[(codes == _FP) & stripe] = _STRIPE
    codes[(right == OBJECT) & (given < HALF)] = _FN
    codes[(codes == _FN) & dot] = _DOT
    picture = PillowImage.fromarray(codes, mode="P")
    picture.putpalette(_PALETTE)
    content = io.BytesIO()
    picture.save(content, "PNG", bits=4, transparency=_OPACITY, optimize=True)
    return content.getvalue()


def _kept(cell: Selected | None, store: Store) -> dict[str, Side]:
    return {} if cell is None else {kept.id: Side(store, kept, "refined") for kept in store.kept(cell.manifest.key)}


def _why(*sides: Side | None) -> dict[str, Any]:
    """The rules that chose an image, each with whose they were; and who kept none, where one did."""
    rules: dict[str, list[str]] = defaultdict(list)
    for end, side in zip("AB", sides, strict=True):
        for rule in () if side is None else side.kept.why:
            rules[rule].append(end)
    lacks = [end for end, side in zip("AB", sides, strict=True) if side is None]
    return {"why": [f"{rule} in {listed(ends)}" for rule, ends in rules.items()], "lacks": "".join(lacks)}


def _put(store: Store, name: str, files: Files) -> str:
    found = PurePosixPath(name).name  # of its content already
    files.picture(found, partial(store.picture, name))
    return found


def _errors(store: Store, truth: str, probs: str) -> bytes:
    return errors(store.picture(truth), store.picture(probs))
