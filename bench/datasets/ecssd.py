"""ECSSD (TPAMI 2016): 1,000 salient objects in structurally complex images, long side 400."""

from __future__ import annotations

from collections.abc import Mapping

from bench.contracts import SPLITS, Split
from bench.datasets.source import Listing, PairSource, first_folder, list_images, match_stems
from bench.datasets.splits import split_off


class Ecssd(PairSource):
    """No train split; the 1,000 pairs become 800 val and 200 test.

    The set is published as a test set alone. A refiner needs data to fit on, so it is cut as the paper cuts
    DUTS-TE. That is our choice: numbers on the 200 do not compare with those published on the 1,000.

    Args:
        root: the folder with ``images/`` and ``masks/``, which its authors call ``ground_truth_mask/``.
    """

    name = "ecssd"
    corpora: Mapping[Split, tuple[str, ...]] = dict.fromkeys(SPLITS, ("ECSSD",))
    layout = "images/<id>.jpg with masks/<id>.png"
    published = ("images/*.jpg", "masks/*.png", "ground_truth_mask/*.png")

    @property
    def expected(self) -> Mapping[Split, int]:
        return {"train": 0, "val": 800, "test": 200}

    def scan(self) -> Listing:
        masks = list_images(first_folder(self.root / "masks", self.root / "ground_truth_mask"), ".png")
        pairs, strays = match_stems(list_images(self.root / "images", ".jpg"), masks)
        val, test = split_off(pairs)
        return Listing({"train": [], "val": val, "test": test}, strays)
