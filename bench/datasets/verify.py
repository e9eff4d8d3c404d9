"""What ``bench data verify`` looks for in any dataset of image and mask files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from bench import images
from bench.contracts import Finding, Image, UserError
from bench.datasets.pairs import LOSSY_SUFFIXES, Pair, PairReader
from bench.runtime.ahead import ahead
from bench.runtime.environment import cores
from bench.runtime.progress import track


def verify_pairs(pairs: Sequence[Pair], reader: PairReader, description: str) -> list[Finding]:
    """Read every file once: unreadable files, sizes that differ, masks that are not binary.

    Non-binary masks are one finding however many there are: in a dataset with JPEG masks they all are.

    Args:
        pairs: each pair once.
        reader: the dataset's own reader.
        description: of the progress bar.
    """
    findings: list[Finding] = []
    not_binary: list[Path] = []
    verified = ahead(partial(_verified, reader), pairs, cores())
    for pair, (found, binary) in zip(pairs, track(verified, description, len(pairs)), strict=True):
        findings += found
        not_binary += [] if binary else [pair.mask]
    if not_binary:
        message = f"{len(not_binary)} of {len(pairs)} masks, this one first, hold values other than 0 and 255"
        findings.append(Finding("non-binary", str(not_binary[0]), f"{message}: binarised at > 127", error=False))
    return findings


def _verified(reader: PairReader, pair: Pair) -> tuple[list[Finding], bool]:
    """What is wrong with a pair, and whether its mask is binary, as one that cannot be read is taken to be."""
    findings: list[Finding] = []
    levels = _read(reader.levels, pair.mask, findings)
    like = None if levels is None else levels.shape[:2]
    image = _read(partial(images.read_image, like=like), pair.image, findings)
    if image is not None and levels is not None:
        size = reader.check_size(pair, image.shape[:2], levels.shape[:2])
        findings += [size] if size is not None else []
    return findings, levels is None or is_binary(levels, lossy=pair.mask.suffix.lower() in LOSSY_SUFFIXES)


def _read(read: Callable[[Path], Image], path: Path, findings: list[Finding]) -> Image | None:
    try:
        return read(path)
    except UserError as error:
        findings.append(Finding("unreadable", error.where, f"{error.what}: {error.fix}", error=True))
        return None


def is_binary(levels: Image, *, lossy: bool) -> bool:
    """Whether a uint8 ``(H, W)`` mask holds 0 and 255 alone, or 0 and 1 in a lossless file."""
    values = np.flatnonzero(np.bincount(levels.ravel(), minlength=256))
    return set(values.tolist()) <= {0, 255} or (not lossy and set(values.tolist()) <= {0, 1})


def stray_findings(strays: Sequence[Path]) -> list[Finding]:
    """One finding for each folder that holds image files which belong to no pair."""
    findings = []
    for folder, group in groupby(sorted(strays), key=lambda path: path.parent):
        names = [path.name for path in group]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        message = f"{', '.join(names[:3])}{more}: no pair of image and mask, left out"
        findings.append(Finding("stray", str(folder), message, error=False))
    return findings
