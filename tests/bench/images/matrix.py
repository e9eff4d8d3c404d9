"""Every file type by colour type, bits and coding, for images, maps and masks: read rightly, or refused.

``python -m tests.bench.images.matrix`` prints it as Markdown and writes it into docs/formats.md, which a test compares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image as PillowImage

from bench.contracts import UserError
from bench.images import MapFiles, MaskFiles, read_image

Verdict = Literal["right", "refused", "WRONG"]
SIDE = 48
MARK = "<!-- written by python -m tests.bench.images.matrix -->"
CODINGS = ("0/1", "0/255", "0/100", "soft", "class index", "void")
DTYPES = (
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
)
DTYPES_REFUSED = ("complex64", "U8")

rows, columns = np.mgrid[:SIDE, :SIDE]
DISC = np.hypot(rows - 20, columns - 20) < 12
SECOND = np.hypot(rows - 38, columns - 38) < 6
RING = ~DISC & (np.hypot(rows - 20, columns - 20) < 15)
PROBS = np.clip(1.2 - np.hypot(rows - 20, columns - 20) / 20, 0, 1)


def codes(coding: str, full: int) -> np.ndarray:
    """The int64 codes of one picture; ``full`` is what stands for white where it is soft."""
    return {
        "0/1": DISC * 1,
        "0/255": DISC * 255,
        "0/100": DISC * 100,
        "soft": np.rint(PROBS * full).astype(np.int64),
        "class index": DISC * 1 + SECOND * 2,
        "void": DISC * 1 + RING * 255,
    }[coding].astype(np.int64)


@dataclass(frozen=True)
class Kind:
    """A file type with its colours.

    Attributes:
        name: e.g. ``"PNG 16-bit"``.
        suffix: of the file.
        write: writes a coding to a path; raises ValueError where the kind cannot hold it.
        lossy: its values are those that Pillow reads back.
    """

    name: str
    suffix: str
    write: Callable[[str, Path], None]
    lossy: bool = False


def kinds() -> Iterator[Kind]:
    """All that the matrix has."""
    for suffix in ("png", "tif", "bmp", "pgm", "webp", "jpg", "jp2"):
        for mode in MODES[suffix]:
            name = f"{suffix.upper()} {NAMES[mode]}"
            yield Kind(name, suffix, _picture(mode, suffix), lossy=suffix == "jpg")
    for suffix in ("npy", "npz"):
        for dtype in (*DTYPES, *DTYPES_REFUSED):
            yield Kind(f"{suffix.upper()} {dtype}", suffix, _array(dtype, lambda a: a, suffix))
    for name, shape in SHAPES.items():
        yield Kind(f"NPY uint8 {name}", "npy", _array("uint8", shape, "npy"))


MODES = {
    "png": ("1", "L", "P", "P grey", "LA", "RGB", "RGBA", "RGBA clear", "I;16", "heat"),
    "tif": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "heat"),
    "bmp": ("1", "L", "P", "RGB", "heat"),
    "pgm": ("L", "I;16"),
    "webp": ("RGB", "RGBA", "heat"),
    "jpg": ("L", "RGB", "CMYK", "heat"),
    "jp2": ("L", "RGB", "I;16"),
}
NAMES = {
    "1": "1-bit",
    "L": "8-bit grey",
    "P": "palette of colours",
    "P grey": "palette of greys",
    "LA": "grey, opaque alpha",
    "RGB": "RGB of greys",
    "RGBA": "RGB of greys, opaque alpha",
    "RGBA clear": "RGB of greys, transparent",
    "I;16": "16-bit grey",
    "I": "32-bit integer",
    "F": "32-bit float",
    "CMYK": "CMYK",
    "heat": "RGB of colours",
}
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "(1, H, W)": lambda a: a[None],
    "(H, W, 1)": lambda a: a[..., None],
    "(H, W, 3) of greys": lambda a: np.dstack([a] * 3),
    "(3, H, W)": lambda a: np.stack([a] * 3),
    "(H, W, 2)": lambda a: np.dstack([a] * 2),
}
HEAT = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 40)], axis=1).astype(np.uint8)
HEAT[0] = 0
"""A colour for each code; background is black."""


def _picture(mode: str, suffix: str) -> Callable[[str, Path], None]:
    def write(coding: str, path: Path) -> None:
        full = 65535 if mode in ("I;16", "I") else 255
        values = codes(coding, full)
        picture = _of_mode(mode, values, coding)
        options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
        picture.save(path, **options)

    return write


def _of_mode(mode: str, values: np.ndarray, coding: str) -> PillowImage.Image:
    if mode == "1":
        if coding not in ("0/1", "0/255"):
            raise ValueError("one bit")
        return PillowImage.fromarray(values > 0)
    if mode == "I;16":
        return PillowImage.fromarray(values.astype(np.uint16))
    if mode == "I":
        return PillowImage.fromarray(values.astype(np.int32))
    if mode == "F":
        return PillowImage.fromarray((PROBS if coding == "soft" else values).astype(np.float32))
    grey = PillowImage.fromarray(values.astype(np.uint8))
    if mode.startswith("P"):
        picture = PillowImage.fromarray(values.astype(np.uint8), mode="P")
        greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        picture.putpalette((greys if mode == "P grey" else HEAT).tobytes())
        return picture
    if mode == "heat":
        return PillowImage.fromarray(HEAT[values])
    if mode == "RGBA clear":
        picture = grey.convert("RGBA")
        picture.putalpha(PillowImage.fromarray((~SECOND * 255).astype(np.uint8)))
        return picture
    return grey.convert(mode) if mode in ("L", "LA", "RGB", "RGBA") else grey.convert("RGB").convert(mode)


def _array(dtype: str, shape: Callable[[np.ndarray], np.ndarray], suffix: str) -> Callable[[str, Path], None]:
    def write(coding: str, path: Path) -> None:
        kind = np.dtype(dtype).kind
        if kind == "b" and coding not in ("0/1", "0/255"):
            raise ValueError("one bit")
        if kind in "ui" and codes(coding, 255).max() > np.iinfo(dtype).max:
            raise ValueError("too few bits")
        full = 65535 if dtype == "uint16" else 255
        values = PROBS if coding == "soft" and kind in "fc" else codes(coding, full)
        array = shape(values.astype(dtype))
        np.save(path, array) if suffix == "npy" else np.savez(path, map=array)

    return write


def verdicts(kind: Kind, folder: Path) -> dict[tuple[str, str], Verdict]:
    """(role, coding) -> what becomes of it; one that the kind cannot hold is left out."""
    found: dict[tuple[str, str], Verdict] = {}
    for coding in CODINGS:
        path = folder / f"{coding.replace('/', '-')}.{kind.suffix}"
        try:
            kind.write(coding, path)
        except (ValueError, OSError, KeyError):
            continue
        for role, read in (("image", _image), ("map", _map), ("mask", _mask)):
            try:
                right = read(path, coding, kind)
            except UserError as error:
                assert "\n" not in str(error) and str(path) in str(error)
                found[role, coding] = "refused"
            else:
                found[role, coding] = "right" if right else "WRONG"
    return found


def _stored(path: Path) -> np.ndarray:
    """What a lossy file holds, read by Pillow alone: 0..255."""
    with PillowImage.open(path) as picture:
        return np.array(picture.convert("L")).astype(np.float64)


def _map(path: Path, coding: str, kind: Kind) -> bool:
    probs = MapFiles([path]).read(path)
    if coding in ("class index", "void"):
        return False
    wanted = _stored(path) / 255 if kind.lossy else PROBS if coding == "soft" else DISC
    return bool(np.abs(probs - wanted).max() <= 1 / 255 + 1e-9)


def _mask(path: Path, coding: str, kind: Kind) -> bool:
    mask = MaskFiles([path]).read(path).mask
    if coding in ("class index", "void"):
        return False
    wanted = _stored(path) > 127 if kind.lossy else PROBS >= 0.5 if coding == "soft" else DISC
    return bool((mask == wanted).all())


def _image(path: Path, coding: str, kind: Kind) -> bool:
    """Equal to the plain 8-bit file of the same codes; a scale of 0/1 may be stretched to white."""
    image = read_image(path)
    plain = codes(coding, 255).astype(np.uint8)
    wanted = HEAT[plain] if "of colours" in kind.name else np.dstack([plain] * 3)
    if kind.lossy:
        with PillowImage.open(path) as picture:
            wanted = np.array(picture.convert("RGB"))
    white = np.dstack([DISC * 255] * 3)
    candidates = (wanted, white) if coding == "0/1" else (wanted,)
    return any(np.abs(image.astype(int) - each).max() <= 1 for each in candidates)


def table() -> str:
    """The matrix as Markdown, a table a role."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(kinds()):
            own = Path(folder) / str(number)
            own.mkdir()
            found[kind.name] = verdicts(kind, own)
    parts = []
    for role in ("image", "map", "mask"):
        lines = [f"| {role} | {' | '.join(CODINGS)} |", f"|---|{'---|' * len(CODINGS)}"]
        for name, each in found.items():
            lines.append(f"| {name} | {' | '.join(each.get((role, coding), '') for coding in CODINGS)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


if __name__ == "__main__":
    page = Path("docs/formats.md")
    before, mark, after = page.read_text(encoding="utf-8").partition(MARK)
    found = table()
    page.write_text(f"{before}{mark}\n\n{found}\n", encoding="utf-8")
    print(found)
