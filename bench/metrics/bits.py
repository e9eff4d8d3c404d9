"""Masks packed 64 pixels to a word, so that what looks at a pixel's surroundings moves whole words.

A mask's rows stand one behind another in one stream of bits, each followed by zeros: moving the stream moves all rows
at once, and what a row's end would hand to the next row's beginning is zeros. docs/performance.md has what it saves.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask

Words = NDArray[np.uint64]
"""``(..., H, words)``: bit ``k`` of word ``j`` is column ``64 j + k``."""

WORD = 64


class Bits:
    """Packed masks of one shape, and what has been computed of them; side by side, as one call moves all of them.

    Args:
        masks: ``(H, W)`` bool each.

    Attributes:
        words: the masks' pixels, ``(masks, H, words)``; behind each row at least `margin` bits are zero.
        margin: pixels by which a row can be widened without reaching the next one.
        shape: the masks' ``(H, W)``.

    Example:
        >>> import numpy as np
        >>> from bench.metrics.bits import Bits, count
        >>> square = np.zeros((5, 5), dtype=bool)
        >>> square[1:4, 1:4] = True
        >>> bits = Bits(square)
        >>> count(bits.inner_band(1)[0]), count(bits.around(0, [1])[0])
        (8, 20)
    """

    def __init__(self, *masks: Mask) -> None:
        self.shape = masks[0].shape
        self.margin = 1 + sum(self.shape) // WORD
        self.words = packed(self.margin, *masks)
        self._blocks = [self.words]

    def inner_band(self, d: int) -> Words:
        """Each mask's pixels that have a pixel outside the mask at most ``d`` rows and ``d`` columns away.

        All outside the image is outside the mask.
        """
        if 2 * d + 1 > min(self.shape):  # a window of that side leaves the image wherever it stands
            return self.words
        # The core is where a whole window of side 2d+1 lies in the mask. A window is four blocks of side d+1 that share
        # its middle pixel, and such a block is four smaller ones, whose sides are a power of two and which overlap.
        level = (d + 1).bit_length() - 1
        block = self._block(level)
        if rest := d + 1 - (1 << level):
            block = _and_block(block, rest)
        core = np.empty_like(block)
        core[:, :d] = 0
        np.bitwise_and(block[:, d:], block[:, :-d], out=core[:, d:])
        core &= forward(core, d)
        return np.bitwise_and(self.words, np.bitwise_not(core, out=core), out=core)

    def around(self, which: int, radii: list[int]) -> list[Words]:
        """For each radius, the image's pixels that have both a pixel of a mask and one outside it close by.

        Close by is under OpenCV's elliptic kernel of that radius. The image's border is no contour.

        Args:
            which: of the masks.
            radii: in pixels, at most `margin`.
        """
        mask, inside = self.words[which], packed(self.margin, np.ones((1, self.shape[1]), np.bool_))[0]
        both = np.stack([mask, mask ^ inside])
        wide = [both]
        for radius in range(1, max(radii) + 1):
            wider = forward(wide[-1], 1)
            wider |= backward(wide[-1], 1)
            if radius == 1:
                wider |= both
            wide.append(wider)
        found = []
        for radius in radii:
            near = wide[radius].copy()
            for rows, width in enumerate(_reach(radius), 1):
                near[:, rows:] |= wide[width][:, :-rows]
                near[:, :-rows] |= wide[width][:, rows:]
            near[0] &= near[1]
            near[0] &= inside
            found.append(near[0])
        return found

    def _block(self, level: int) -> Words:
        """Where the square of side ``2 ** level`` to the right and below lies in the mask."""
        while len(self._blocks) <= level:
            self._blocks.append(_and_block(self._blocks[-1], 1 << len(self._blocks) - 1))
        return self._blocks[level]


def packed(margin: int, *masks: Mask) -> Words:
    """``(H, W)`` bool each -> ``(masks, H, words)`` with at least ``margin`` zeros behind each row."""
    height, width = masks[0].shape
    words = np.zeros((len(masks), height, -(-(width + margin) // WORD)), "<u8")
    for mask, own in zip(masks, words.view(np.uint8), strict=True):
        own[:, : -(-width // 8)] = np.packbits(mask, axis=1, bitorder="little")
    return words.astype(np.uint64, copy=False)


def count(words: Words) -> int:
    """Bits that are set."""
    return int(np.bitwise_count(words).sum())


def overlap(pair: Words) -> tuple[int, int]:
    """Pixels in the intersection and in the union of two, ``(2, H, words)``."""
    return count(pair[0] & pair[1]), count(pair[0] | pair[1])


def forward(words: Words, by: int) -> Words:
    """All bits ``by`` columns to the right, along the whole stream; zeros come in at its beginning."""
    stream, (skipped, rest) = words.ravel(), divmod(by, WORD)
    kept = stream[: len(stream) - skipped]
    moved = np.empty_like(stream)
    moved[:skipped] = 0
    np.left_shift(kept, rest, out=moved[skipped:])
    moved[skipped + 1 :] |= kept[:-1] >> (WORD - rest)  # zero where a word moves as a whole: numpy shifts all out
    return moved.reshape(words.shape)


def backward(words: Words, by: int) -> Words:
    """All bits ``by`` columns to the left, along the whole stream; zeros come in at its end."""
    stream, (skipped, rest) = words.ravel(), divmod(by, WORD)
    kept = stream[skipped:]
    moved = np.empty_like(stream)
    moved[len(kept) :] = 0
    np.right_shift(kept, rest, out=moved[: len(kept)])
    moved[: len(kept) - 1] |= kept[1:] << (WORD - rest)
    return moved.reshape(words.shape)


@functools.cache
def _reach(radius: int) -> list[int]:
    """Columns to each side that OpenCV's ellipse has 1, 2, ... ``radius`` rows from its middle."""
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return [int(pixels) // 2 for pixels in kernel[radius + 1 :].sum(axis=1)]


def _and_block(block: Words, by: int) -> Words:
    """Where four blocks are set: the one here, and those ``by`` rows below, ``by`` columns behind, and both."""
    four = np.empty_like(block)
    four[:, -by:] = 0
    np.bitwise_and(block[:, :-by], block[:, by:], out=four[:, :-by])
    four &= backward(four, by)
    return four
