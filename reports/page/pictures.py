"""The kept pictures of a row, and where its masks are wrong as pictures that can be laid over the image."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from bench.contracts import UserError
from bench.images.webp import OBJECT, read_codes
from bench.reports.page.lines import Line, digest
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


Put = Callable[[str, Callable[[], bytes]], None]
"""Takes a file's name and how its content is made; a name that it has had already is not made again."""


def pictures(line: Line, store: Store, put: Put) -> list[dict[str, Any]]:
    """What the page knows of each image with pictures, of the first seed that kept it.

    Args:
        put: is given every picture that the page may show.
    """
    found: dict[str, dict[str, Any]] = {}
    for manifest in line.finished:
        for kept in store.kept(manifest.key):
            if kept.id not in found:
                found[kept.id] = {"id": kept.id, "why": kept.why, "seed": manifest.seed, **_files(kept, store, put)}
    return list(found.values())


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


def _files(kept: KeptImage, store: Store, put: Put) -> dict[str, str]:
    files = {}
    for kind in ("image", "truth", "base", "refined"):
        name = getattr(kept, kind)
        # Named by content already: the name of the object in the store.
        files[kind] = PurePosixPath(name).name
        put(files[kind], partial(store.picture, name))
    for kind in ("base", "refined"):
        name = getattr(kept, kind)
        files[f"{kind}_errors"] = f"{digest(f'{kept.truth} {name}'.encode())}.png"
        put(files[f"{kind}_errors"], partial(_errors, store, kept.truth, name))
    return files


def _errors(store: Store, truth: str, probs: str) -> bytes:
    return errors(store.picture(truth), store.picture(probs))
