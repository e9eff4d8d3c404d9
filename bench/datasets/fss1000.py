"""FSS-1000 (CVPR 2020): 1,000 classes of ten 224x224 pairs, for few-shot segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from bench import images
from bench.contracts import SPLITS, Episode, Finding, Image, Mask, Split, UserError
from bench.datasets.pairs import Pair, PairReader
from bench.datasets.source import Listing, PairSource
from bench.datasets.splits import split_off
from bench.images.decode import decode

SIDE = 224
PAIRS_A_CLASS = 10
TRAIN_CLASSES = 760
NO_MASK = ("peregine_falcon", 8)
"""Its PNG is a photograph (HKUSTCV/FSS-1000, issues 8, 17 and 23). The class is spelt so."""


def held_out_classes() -> tuple[list[str], list[str]]:
    """The official 240 test classes as (192 val, 48 test).

    Which classes the paper took for which is unpublished; ours come from the splitter.
    """
    listed = files("bench.datasets").joinpath("fss1000_test_classes.txt").read_text(encoding="utf-8")
    return split_off(sorted(listed.splitlines()))


class FssReader(PairReader):
    """Masks are RGB files where any channel may hold the object; odd-sized files are brought to 224x224."""

    def levels(self, path: Path) -> Image:
        values = decode(path).values
        return values if values.ndim == 2 else values.max(axis=2)

    def check_size(self, pair: Pair, image: tuple[int, int], mask: tuple[int, int]) -> Finding | None:
        if image == mask == (SIDE, SIDE):
            return None
        sizes = f"the image is {image[1]}x{image[0]}, the mask {mask[1]}x{mask[0]}"
        message = f"{sizes}: resized to {SIDE}x{SIDE}, bilinear and nearest"
        return Finding("size", str(pair.mask), message, error=False)

    def fit(self, pair: Pair, image: Image, mask: Mask) -> tuple[Image, Mask]:
        if self.check_size(pair, image.shape[:2], mask.shape) is not None:
            image = np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
            mask = cv2.resize(mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST) > 0
        return image, mask


class Fss1000(PairSource):
    """760 train, 192 val and 48 test classes. Samples are the queries, ``class/number``; each carries its support.

    Args:
        root: ``fewshot_data/``, with a folder a class that holds ``1.jpg``, ``1.png`` to ``10.jpg``, ``10.png``.
        shots: the first so many pairs of each class, by number, are its support; the others are queries.

    Raises:
        UserError: ``shots`` is negative.
    """

    name = "fss1000"
    corpora: Mapping[Split, tuple[str, ...]] = dict.fromkeys(SPLITS, ("FSS-1000",))
    layout = "<class>/<number>.jpg with <class>/<number>.png"
    published = ("*/[1-9].jpg", "*/10.jpg", "*/[1-9].png", "*/10.png")
    unit = "queries"
    reader = FssReader()

    def __init__(self, *, root: Path, shots: int = 5) -> None:
        super().__init__(root=root)
        if shots < 0:
            raise UserError(f"{shots} support pairs", "fss1000[shots=...]", "give a number from 0 to 9")
        self.shots = shots

    @property
    def expected(self) -> Mapping[Split, int]:
        """Queries of a complete copy; one class lacks a pair (`NO_MASK`)."""
        val, test = held_out_classes()
        queries = max(0, PAIRS_A_CLASS - self.shots)
        return {
            "train": TRAIN_CLASSES * queries,
            "val": len(val) * queries - (NO_MASK[0] in val),
            "test": len(test) * queries - (NO_MASK[0] in test),
        }

    @cached_property
    def _folders(self) -> tuple[dict[str, list[Pair]], list[Path]]:
        """Class -> its pairs by number, and the image files that belong to none."""
        self.check_root()
        classes: dict[str, list[Pair]] = {}
        strays: list[Path] = []
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir() and path.name[0] != "."):
            found = {path.name: path for path in folder.iterdir() if path.suffix.lower() in images.IMAGE_SUFFIXES}
            numbers = [int(name[:-4]) for name in found if name.endswith(".jpg") and name[:-4].isdecimal()]
            pairs = []
            for number in sorted(numbers):
                image, mask = found.pop(f"{number}.jpg", None), found.pop(f"{number}.png", None)
                if image and mask and (folder.name, number) != NO_MASK:
                    pairs.append(Pair(f"{folder.name}/{number}", image, mask))
                elif image and not mask:
                    strays.append(image)
            strays += found.values()
            classes |= {folder.name: pairs} if pairs else {}
        return classes, strays

    def _too_small(self) -> list[tuple[Path, str]]:
        """The folders with fewer pairs than a support set and one query, and what is wrong with each."""
        return [
            (self.root / name, f"{len(pairs)} pairs, but {self.shots} are the support set and the rest the queries")
            for name, pairs in self._folders[0].items()
            if len(pairs) <= self.shots
        ]

    def scan(self) -> Listing:
        too_small = self._too_small()
        if too_small:
            folder, problem = too_small[0]
            fewest = min(len(pairs) for pairs in self._folders[0].values())
            raise UserError(problem, folder, f"complete the class, or take fss1000[shots={fewest - 1}]")
        classes, strays = self._folders
        val, test = held_out_classes()
        train = [name for name in classes if name not in {*val, *test}]
        splits: dict[Split, list[str]] = {"train": train, "val": val, "test": test}
        return Listing({split: self._queries(names) for split, names in splits.items()}, strays)

    def _queries(self, names: Sequence[str]) -> list[Pair]:
        queries = []
        for name in names:
            pairs = self._folders[0].get(name, [])
            support = tuple(pairs[: self.shots])
            queries += [replace(pair, support=support) for pair in pairs[self.shots :]]
        return queries

    def episodes(self, split: Split) -> dict[str, Episode]:
        """Class -> its support and query ids, as the samples of the split carry them.

        Raises UserError as `split`.
        """
        episodes: dict[str, Episode] = {}
        for pair in self.listing.splits[split]:
            episode: Episode = {"support": [other.id for other in pair.support], "query": []}
            episodes.setdefault(pair.id.rpartition("/")[0], episode)["query"].append(pair.id)
        return episodes

    def check_counts(self) -> list[Finding]:
        too_small = self._too_small()
        if not too_small:
            return super().check_counts()
        return [Finding("count", str(folder), problem, error=True) for folder, problem in too_small]

    def strays(self) -> Sequence[Path]:
        return self._folders[1]

    def all_pairs(self) -> list[Pair]:
        return [pair for pairs in self._folders[0].values() for pair in pairs]

    def known_defects(self) -> list[Finding]:
        path = self.root / NO_MASK[0] / f"{NO_MASK[1]}.png"
        message = "a photograph in place of the mask, known in the release: the pair is left out"
        return [Finding("defect", str(path), message, error=False)] if path.is_file() else []
