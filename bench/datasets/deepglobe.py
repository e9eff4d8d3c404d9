"""DeepGlobe Road Extraction (CVPR workshops 2018): satellite images of 1024x1024 at 50 cm a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.contracts import SPLITS, Split
from bench.datasets.pairs import Pair
from bench.datasets.source import Listing, PairSource, list_images
from bench.datasets.splits import split_off


class DeepGlobe(PairSource):
    """The 6,226 labelled pairs, split 4,980 / 996 / 250 as the paper does.

    The challenge's own valid and test parts have no masks and are not used. Masks are binarised at 128, as the
    official note asks.

    Args:
        root: the folder that holds ``train/``.
    """

    name = "deepglobe"
    corpora: Mapping[Split, tuple[str, ...]] = dict.fromkeys(SPLITS, ("DeepGlobe",))
    layout = "train/<id>_sat.jpg with train/<id>_mask.png"
    published = ("train/*_sat.jpg", "train/*_mask.png")

    @property
    def expected(self) -> Mapping[Split, int]:
        return {"train": 4980, "val": 996, "test": 250}

    def scan(self) -> Listing:
        files: dict[str, Path] = list_images(self.root / "train", ".jpg", ".png")
        # The order of the file names, not of the ids: "104_sat" comes after "1045_sat".
        ids = [stem.removesuffix("_sat") for stem in files if stem.endswith("_sat")]
        pairs = [Pair(id_, files[f"{id_}_sat"], files[f"{id_}_mask"]) for id_ in ids if f"{id_}_mask" in files]
        paired = {path for pair in pairs for path in (pair.image, pair.mask)}
        train, held_out = split_off(pairs)
        val, test = split_off(held_out)
        strays = [path for path in files.values() if path not in paired]
        return Listing({"train": train, "val": val, "test": test}, strays)
