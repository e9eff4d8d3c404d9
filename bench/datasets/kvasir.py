"""Kvasir-SEG (MMM 2020): polyps in colonoscopy images, 332x487 to 1920x1072."""

from __future__ import annotations

from collections.abc import Mapping

from bench.contracts import SPLITS, Split, UserError
from bench.datasets.pairs import Pair
from bench.datasets.source import Listing, PairSource, list_images, match_stems
from bench.datasets.splits import split_off
from bench.runtime.reading import read_text

ORIGIN = "https://github.com/DebeshJha/Kvasir-SEG"


class Kvasir(PairSource):
    """The official 880 training ids; the official 120 of validation become 96 val and 24 test, as in the paper.

    The masks are JPEG files with values near 0 and near 255: they are binarised at > 127 before any resize.

    Args:
        root: the folder with ``images/``, ``masks/`` and the official lists ``train.txt`` and ``val.txt``.
    """

    name = "kvasir"
    corpora: Mapping[Split, tuple[str, ...]] = dict.fromkeys(SPLITS, ("Kvasir-SEG",))
    layout = "images/<id>.jpg, masks/<id>.jpg, train.txt and val.txt"
    published = ("images/*.jpg", "masks/*.jpg", "train.txt", "val.txt")

    @property
    def expected(self) -> Mapping[Split, int]:
        return {"train": 880, "val": 96, "test": 24}

    def scan(self) -> Listing:
        images, masks = list_images(self.root / "images", ".jpg"), list_images(self.root / "masks", ".jpg")
        pairs, strays = match_stems(images, masks)
        if not pairs:
            return Listing({})
        # The lists are split, not what is there of them: a partial copy keeps every id in its split.
        train = self._ids("train.txt")
        val, test = split_off(sorted(self._ids("val.txt")))
        by_id = {pair.id: pair for pair in pairs}
        unlisted = by_id.keys() - {*train, *val, *test}
        strays += [by_id[id_].image for id_ in sorted(unlisted)]

        def present(ids: list[str]) -> list[Pair]:
            return [by_id[id_] for id_ in ids if id_ in by_id]

        return Listing({"train": present(train), "val": present(val), "test": present(test)}, strays)

    def _ids(self, name: str) -> list[str]:
        path = self.root / name
        try:
            return read_text(path).split()
        except (OSError, UnicodeDecodeError):
            fix = f"take it from {ORIGIN} and put it beside images/ and masks/"
            raise UserError("no official list of ids", path, fix) from None
