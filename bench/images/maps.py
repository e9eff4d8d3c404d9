"""Probability maps on disk: which code stands for one.

Bits alone do not tell: an 8-bit file may hold 0..255, 0/1, 0..100 or class numbers. What is taken for what follows from
the largest value in the folder (docs/formats.md has the table); what that leaves open is refused, and ``scale`` says
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.contracts import ProbabilityMap, UserError
from bench.images.decode import SUFFIXES, Raster, decode
from bench.images.pictures import ROUNDING
from bench.images.sampling import CLASSES, SOFT, distinct, sample

MAP_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in (".jpg", ".jpeg"))

SAY_SCALE = "say what stands for probability 1 with --map-scale N, or maps[scale=N]"

NOTHING_FOUND = "no map reaches 0.5, so that nothing is predicted: look at what the maps were taken for"


def read_map(path: Path) -> ProbabilityMap:
    """float32 ``(H, W)`` in [0, 1], of a file that is known by itself alone. Raises UserError as `MapFiles.read`."""
    return MapFiles([path]).read(path)


@dataclass
class MapFiles:
    """The maps of a folder, which are coded alike.

    Args:
        files: all of them; some are read to learn how they are coded, see `bench.images.sampling`.
        scale: the value that stands for probability 1; None finds out.
    """

    files: Sequence[Path]
    scale: float | None = None
    _scales: dict[str, float | None] = field(default_factory=dict, repr=False)

    def read(self, path: Path, fits: Callable[[tuple[int, int]], None] = lambda size: None) -> ProbabilityMap:
        """A map: float32 ``(H, W)`` in [0, 1].

        Args:
            path: of it.
            fits: as `bench.images.decode.decode`.

        Raises:
            UserError: as `bench.images.decode.decode`; it has colours, NaN, values outside the scale; or the folder's
                scale is unclear.
        """
        raster = decode(path, fits)
        values = _grey(raster)
        scale = self._scale_of(raster, values)
        if values.dtype.kind == "f":
            values = values / scale if scale != 1 else values
            check_map(values, path)
            return np.clip(values, 0, 1).astype(np.float32)
        if values.max() > scale or values.min() < 0:
            problem = f"a map with values {values.min()}..{values.max()}, where {scale:g} stands for 1"
            raise UserError(problem, path, f"write all maps of a folder alike, or {SAY_SCALE}")
        if values.dtype == np.uint8:
            found: ProbabilityMap = cv2.LUT(values, _probabilities(scale))
            return found
        return values.astype(np.float32) if scale == 1 else (values / scale).astype(np.float32)

    def said(self) -> str:
        """How they are coded, e.g. ``"8-bit, 0..255"``. Raises UserError as `read`, of the first of the sample."""
        first = decode(self._sample[0])
        scale = self._scale_of(first, _grey(first))
        return f"{first.what}, 0..{scale:g}"

    @cached_property
    def _sample(self) -> list[Path]:
        return sample(self.files)

    def __getstate__(self) -> dict[str, Any]:
        # What is read elsewhere is of one coding with what is read here; of the files it needs no more.
        return {**self.__dict__, "files": self._sample}

    def _scale_of(self, raster: Raster, values: NDArray[Any]) -> float:
        if self.scale is not None:
            return self.scale
        container = _container(values)
        if container in ("bool", "float"):
            return 1.0
        if container not in self._scales:
            self._scales[container] = self._find(container)
        found = self._scales[container]
        return _scale(container, distinct(values), raster.path) if found is None else found

    def _find(self, container: str) -> float | None:
        """By the sample; None where that has no such file, or only empty ones."""
        seen: NDArray[Any] | None = None
        where = self.files[0]
        for path in self._sample:
            raster = decode(path)
            codes = _grey(raster)
            if _container(codes) == container:
                where = path if seen is None or codes.max() > seen[-1] else where
                seen = distinct(codes) if seen is None else np.union1d(seen, distinct(codes))
        if seen is None or not seen.any():
            return None
        return _scale(container, seen, where)


@lru_cache(maxsize=8)
def _probabilities(scale: float) -> NDArray[np.float32]:
    """float32 ``(256,)``: of each code of 8 bits."""
    return (np.arange(256) / scale).astype(np.float32)


def _scale(container: str, seen: NDArray[Any], where: Path) -> float:
    """The code that stands for 1, by the values seen. Raises UserError where they leave it open."""
    low, high = int(seen.min()), int(seen.max())
    if low < 0:
        raise UserError(f"a map with negative values, {low}", where, "apply the sigmoid to logits")
    if high == 0:
        return 1.0
    scale = _by_largest(container, high, seen)
    if scale is None:
        codes = ", ".join(map(str, seen)) if seen.size < 6 else f"{low}..{high}"
        raise UserError(f"a map of whole numbers, {codes}: it is unclear which stands for 1", where, SAY_SCALE)
    return scale


def _by_largest(container: str, high: int, seen: NDArray[Any]) -> float | None:
    if high == 1:
        return 1.0
    inner = seen[(seen > 0) & (seen < high)]
    if high in (255, 65535) and 0 < inner.size <= SOFT and inner.max() < CLASSES:
        return None  # class numbers, and the code of void
    if 127 < high <= 255:
        return 255.0
    if 32767 < high <= 65535:
        return 65535.0
    # A weak network's maps may stay below one half.
    if container == "u16" and high > 255 and high not in (1000, 10000):
        return 65535.0
    # Of 8 bits many values say that they are no class numbers.
    return 255.0 if container == "u8" and seen.size > SOFT and high != 100 else None


def _container(values: NDArray[Any]) -> str:
    if values.dtype.kind in "bf":
        return {"b": "bool", "f": "float"}[values.dtype.kind]
    return {"u1": "u8", "u2": "u16"}.get(values.dtype.str[1:], "integer")


def _grey(raster: Raster) -> NDArray[Any]:
    if raster.lossy:
        raise UserError("a map in a lossy format", raster.path, "write PNG or NPY: noise hides what the codes mean")
    grey = raster.grey
    if grey is None:
        raise UserError("a map in colours", raster.path, "write the probabilities as grey values")
    return grey


def check_map(probs: np.ndarray, where: object) -> None:
    """Raise UserError unless every value is a number in [0, 1], but for rounding."""
    if not np.isfinite(probs).all():
        bad = int(probs.size - np.isfinite(probs).sum())
        raise UserError(f"a map with {bad} NaN or infinite values", where, "write finite probabilities in [0, 1]")
    low, high = (float(probs.min()), float(probs.max())) if probs.size else (0.0, 0.0)
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return
    if low < 0:
        fix = "those look like logits: apply the sigmoid"
    elif high in (100, 255, 65535):
        fix = f"divide by {high:g}, or say --map-scale {high:g}, or maps[scale={high:g}]"
    else:
        fix = "write probabilities in [0, 1]; apply the sigmoid to logits"
    raise UserError(f"a map with values {low:.9g}..{high:.9g}", where, fix)
