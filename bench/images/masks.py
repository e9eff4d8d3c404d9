"""Ground truth on disk: which of a file's values are the foreground.

Two values are clear, whatever they are: the one above zero, or the one colour beside black, is the foreground. So is a
soft-edged mask, by half of white. More than one class is never guessed: ``classes`` says which count as the foreground,
``ignore`` which pixels are left out (docs/formats.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Image, Mask, UserError
from bench.images.decode import Raster, decode
from bench.images.sampling import SOFT, distinct, has_regions, sample

SAY_CLASSES = "say which are the foreground: --classes 1 2, or folder[classes=...]; void pixels: --ignore 255"
ALL_EMPTY = "every mask is empty: look at what the masks were taken for"
_LOSSY_REGION = 8


class Truth(NamedTuple):
    """A mask as read.

    Attributes:
        mask: bool ``(H, W)``, the foreground.
        ignore: bool ``(H, W)``, pixels that no metric counts; None where there are none to be.
    """

    mask: Mask
    ignore: Mask | None = None


@dataclass(frozen=True)
class Coding:
    """What a folder's masks hold.

    Attributes:
        what: in words.
        foreground: the value, or colour ``(R, G, B)``, of the foreground; None for all from ``half`` on.
        half: of soft-edged masks.
    """

    what: str = field(compare=False)
    foreground: Any = None
    half: float = 0.0


def read_mask(path: Path) -> Mask:
    """bool ``(H, W)``, of a file that is known by itself alone. Raises UserError as `MaskFiles.read`."""
    return MaskFiles([path]).read(path).mask


def read_grey(path: Path) -> Image:
    """uint8 ``(H, W)``: a mask of a published set before it is binarised, of colours the luminance.

    Raises:
        UserError: as `bench.images.decode.decode`; or it has not 8 bits.
    """
    raster = decode(path, luma=True)
    grey = _whitened(raster.luminance)
    if grey.dtype != np.uint8:
        raise UserError(f"a mask of {raster.what}", path, "the dataset's own has 8 bits: write 0 and 255")
    return grey


def binarise(grey: Image, *, lossy: bool = False) -> Mask:
    """bool ``(H, W)`` of a published set's mask: ``> 127``, or ``> 0`` for files coded 0/1.

    Args:
        grey: uint8 ``(H, W)``.
        lossy: the file was JPEG, where a 1 is noise and never a code for foreground.
    """
    coded_as_one = not lossy and grey.size > 0 and grey.max() == 1
    return grey > (0 if coded_as_one else 127)


@dataclass
class MaskFiles:
    """The masks of a folder, which are coded alike.

    Args:
        files: all of them; some are read to learn how they are coded, see `bench.images.sampling`.
        classes: grey values or palette indices that are the foreground; empty finds out.
        ignore: those whose pixels no metric counts.
    """

    files: Sequence[Path]
    classes: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()

    def read(self, path: Path) -> Truth:
        """A mask at its own size.

        Raises:
            UserError: as `bench.images.decode.decode`; the folder's masks hold several classes and ``classes`` is
                empty; or this one is not as the others are.
        """
        raster = decode(path)
        if self.classes:
            return self._by_class(raster)
        if self.ignore:
            raise UserError("ignore= without classes=", path, SAY_CLASSES)
        return Truth(_binarised(raster, _common(self.coding, _coding(raster), path)))

    def levels(self, path: Path) -> Image:
        """uint8 ``(H, W)``: a soft-edged mask before it is binarised, another as 0 and 255. UserError as `read`."""
        mask = self.read(path).mask
        coding = None if self.classes else self.coding
        grey = decode(path).grey
        if coding is None or coding.foreground is not None or grey is None:
            return _whitened(mask)
        return np.rint(_whitened(grey) * (255.0 / _WHITE[coding.half])).astype(np.uint8)

    def said(self) -> str:
        """How they are coded, in words. Raises UserError as `read`."""
        if self.classes:
            left_out = f", {_listed(self.ignore)} left out" if self.ignore else ""
            return f"classes {_listed(self.classes)} are the foreground{left_out}"
        return self.coding.what if self.coding else "all empty"

    @cached_property
    def coding(self) -> Coding | None:
        """How the folder's masks are coded, by a sample; None where all of that are empty."""
        found: Coding | None = None
        for path in self._sample:
            found = _common(found, _coding(decode(path)), path)
        return found

    @cached_property
    def _sample(self) -> list[Path]:
        return sample(self.files)

    def __getstate__(self) -> dict[str, Any]:
        # What another process reads is coded as it was found to be here; of the files it needs no more.
        known = not self.classes and self.coding is not None
        return {**self.__dict__, "files": self._sample} if known else self.__dict__

    def _by_class(self, raster: Raster) -> Truth:
        numbers = raster.index if raster.index is not None else raster.grey
        if numbers is None or numbers.dtype.kind not in "bui":
            raise UserError(f"a mask of {raster.what} has no class numbers", raster.path, "write grey or palette masks")
        ignore = np.isin(numbers, self.ignore) if self.ignore else None
        return Truth(np.isin(numbers, self.classes), ignore)


def _common(folder: Coding | None, own: Coding | None, path: Path) -> Coding | None:
    """The coding of a folder that has this file, too. Raises UserError where they differ."""
    if folder is None or own is None or folder == own:
        return folder or own
    whites = {folder.half, own.half}
    if len(whites - {0.0}) == 1 and {folder.foreground, own.foreground} == {None, _WHITE[max(whites)]}:
        return folder if folder.foreground is None else own  # hard masks among soft-edged ones
    raise UserError(
        f"a mask of {own.what}, where others are of {folder.what}", path, f"write all alike, or {SAY_CLASSES}"
    )


_WHITE = {128.0: 255, 32768.0: 65535, 0.5: 1.0}
"""White, by the half of it."""


def _coding(raster: Raster) -> Coding | None:
    """How a file is coded; None for one that is empty. Raises UserError where it has several classes."""
    grey = raster.grey
    return _of_colours(raster) if grey is None else _of_grey(grey, raster)


def _of_grey(grey: NDArray[Any], raster: Raster) -> Coding | None:
    path = raster.path
    grey = _whitened(grey)
    if grey.dtype.kind != "u" and (not np.isfinite(grey).all() or grey.min() < 0):
        raise UserError("a mask with negative or no numbers", path, "write 0 for background and 255 for foreground")
    values = distinct(grey)
    above = values[values > 0]
    if above.size == 0:
        return None
    if raster.lossy:
        return _of_lossy(grey, raster)
    high = above[-1]
    if above.size == 1:
        return Coding(f"{raster.what}, values 0 and {high}", high.item())
    half = {255: 128.0, 65535: 32768.0}.get(int(high)) if grey.dtype.kind in "ui" else 0.5 if high <= 1 else None
    if grey.dtype.kind in "ui" and half is None and 200 <= high < 255:
        half = 128.0
    classes = _is_of_classes(grey, values)
    if half is None or classes:
        raise _several(raster, values)
    return Coding(f"{raster.what}, soft edges", None, half)


def _is_of_classes(grey: NDArray[Any], values: NDArray[Any]) -> bool:
    """Whether values between black and white fill regions, as class numbers do, or lie on edges alone."""
    if values.size > SOFT:
        return False
    if grey.dtype.kind == "f":
        return has_regions(np.rint(grey * 255), 1, 254)
    return has_regions(grey, 1, int(values[-1]) - 1) or bool(values[1] < 4 and values.size <= 4)


def _of_lossy(grey: NDArray[Any], raster: Raster) -> Coding | None:
    if grey.dtype != np.uint8:
        raise UserError(f"a lossy mask of {raster.what}", raster.path, "write PNG")
    high = int(grey.max())
    if high < 32:
        if has_regions(grey, 1, 31) and has_regions(grey, 0, 0):
            raise _several(raster, distinct(grey))
        return None  # noise of an empty mask
    if high < 200 or has_regions(grey, 32, 223, _LOSSY_REGION) or has_regions(grey, 1, 31):
        raise _several(raster, distinct(grey))
    return Coding(f"{raster.what} JPEG or alike, by half of white", None, 128.0)


def _of_colours(raster: Raster) -> Coding | None:
    if raster.lossy or raster.values.dtype != np.uint8:
        problem = f"a mask in colours, of {raster.what}"
        raise UserError(problem, raster.path, "write it as grey or palette PNG, 0 for background")
    packed = distinct(raster.values.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32))
    above = [(code >> 16, code >> 8 & 255, code & 255) for code in packed.tolist() if code]
    if len(above) == 1:
        return Coding(f"{raster.what}, black and {above[0]}", above[0])
    raise _several(raster, distinct(raster.index) if raster.index is not None else np.array(above))


def _several(raster: Raster, values: NDArray[Any]) -> UserError:
    kind = "indices" if raster.index is not None else "colours" if values.ndim == 2 else "values"
    shown = values.tolist() if len(values) <= 8 else f"{len(values)} of them"
    fix = SAY_CLASSES if kind != "colours" else "write class numbers as grey or palette PNG, then say classes="
    return UserError(f"a mask of several classes, {raster.what} {kind} {shown}", raster.path, fix)


def _binarised(raster: Raster, coding: Coding | None) -> Mask:
    if coding is None:
        return np.zeros(raster.values.shape[:2], np.bool_)
    if isinstance(coding.foreground, tuple):
        if raster.values.ndim == 2:
            return np.zeros(raster.values.shape, np.bool_)
        return np.all(raster.values == np.array(coding.foreground, np.uint8), axis=2)
    grey = raster.grey
    if grey is None:
        raise UserError("a mask in colours among grey ones", raster.path, "write all alike")
    grey = _whitened(grey)
    found: Mask = grey == coding.foreground if coding.foreground is not None else grey >= coding.half
    return found


def _whitened(grey: NDArray[Any]) -> NDArray[Any]:
    """Black and white of one bit as 0 and 255."""
    return grey.astype(np.uint8) * np.uint8(255) if grey.dtype == np.bool_ else grey


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
