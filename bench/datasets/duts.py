"""DUTS (CVPR 2017): salient objects, images of about 300x400."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.contracts import Finding, Split
from bench.datasets.pairs import Pair
from bench.datasets.source import Listing, PairSource, first_folder, list_images, match_stems
from bench.datasets.splits import split_off

WRONG_IN_FIRST_RELEASE = ("ILSVRC2012_test_00036002", "sun_bcogaqperiljqupq")


class Duts(PairSource):
    """DUTS-TR trains (10,553); DUTS-TE (5,019) becomes 4,015 val and 1,004 test, as in the paper.

    Numbers on this test split do not compare with those published on the whole of DUTS-TE. Masks have grey
    edges and are binarised at > 127.

    Args:
        root: the folder with ``DUTS-TR/`` and ``DUTS-TE/``; a doubled ``DUTS-TE/DUTS-TE/`` is found too.
    """

    name = "duts"
    corpora: Mapping[Split, tuple[str, ...]] = {"train": ("DUTS-TR",), "val": ("DUTS-TE",), "test": ("DUTS-TE",)}
    layout = "DUTS-TR/DUTS-TR-Image/*.jpg with DUTS-TR/DUTS-TR-Mask/*.png, and the same for DUTS-TE"
    published = (
        *("DUTS-TR/DUTS-TR-Image/*.jpg", "DUTS-TR/DUTS-TR-Mask/*.png"),
        *("DUTS-TE/DUTS-TE-Image/*.jpg", "DUTS-TE/DUTS-TE-Mask/*.png"),
    )

    @property
    def expected(self) -> Mapping[Split, int]:
        return {"train": 10553, "val": 4015, "test": 1004}

    def scan(self) -> Listing:
        train, train_strays = self._part("DUTS-TR")
        held_out, strays = self._part("DUTS-TE")
        val, test = split_off(held_out)
        return Listing({"train": train, "val": val, "test": test}, train_strays + strays)

    def _part(self, part: str) -> tuple[list[Pair], list[Path]]:
        folder = first_folder(self.root / part / part, self.root / part)
        images = list_images(folder / f"{part}-Image", ".jpg")
        return match_stems(images, list_images(folder / f"{part}-Mask", ".png"))

    def known_defects(self) -> list[Finding]:
        message = "the first release of DUTS-TE had a wrong mask here: download DUTS-TE again if it still is"
        wrong = [pair for pair in self.all_pairs() if pair.id in WRONG_IN_FIRST_RELEASE]
        return [Finding("defect", str(pair.mask), message, error=False) for pair in wrong]
