"""Road scenes drawn from a seed: no files, no download, a first run in minutes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.contracts import SPLITS, Finding, Sample, Split, UserError
from bench.datasets.quickstart import scenes

PROBES = 4
"""How many samples' contents enter the fingerprint: enough to notice another drawing library."""


class DrawnDataset:
    """One split of drawn scenes (`bench.contracts.Dataset`): sample ``i`` is drawn when it is asked for.

    Args:
        split: which split this is.
        count: number of samples.
        size: pixels a side.
        seed: of the dataset.
    """

    name = "quickstart"

    def __init__(self, split: Split, count: int, size: int, seed: int) -> None:
        self.split: Split = split
        self._size, self._seed = size, seed
        self._ids = tuple(f"{split}-{index:04d}" for index in range(count))

    @property
    def ids(self) -> Sequence[str]:
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int, /) -> Sample:
        """A pure function of seed, split, size and index."""
        index = range(len(self))[index]  # counts negative ones from the end, refuses those out of range
        rng = np.random.default_rng([self._seed, SPLITS.index(self.split), index])
        image, mask = scenes.draw(rng, self._size, severity=rng.uniform(0.3, 1))
        return Sample(self._ids[index], image, mask)

    def fingerprint(self) -> str:
        """Hex digest of the parameters, the drawing's version and the first samples."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((scenes.VERSION, self.split, len(self), self._size, self._seed)).encode())
        for index in range(min(PROBES, len(self))):
            sample = self[index]
            digest.update(sample.image.tobytes() + sample.mask.tobytes())
        return digest.hexdigest()


class Quickstart:
    """Aerial-looking road scenes whose haze, shadow and tree canopy vary by region (`bench.contracts.DatasetSource`).

    Made so that a base network shows the patch-wise bias that the paper is about, in minutes and without a
    download. All three splits are drawn alike. Nothing here is a measure of quality on real images.

    Args:
        root: not used.
        size: pixels a side.
        train, val, test: number of samples.
        seed: another seed is another dataset. The scenes and the demo's settings were chosen while looking at
            scores of seeds 0 and 1, test split included. Of the default seed, the val split alone served a
            choice: DenseCRF's defaults.

    Raises:
        UserError: a number is out of range.

    >>> sample = Quickstart(root=Path()).split("test")[0]
    >>> sample.id, sample.image.shape, sample.mask.shape
    ('test-0000', (96, 96, 3), (96, 96))
    """

    name = "quickstart"

    def __init__(
        self, *, root: Path, size: int = 96, train: int = 160, val: int = 160, test: int = 80, seed: int = 2
    ) -> None:
        if size < 32 or min(train, val, test, seed) < 0:
            fix = "take a size of 32 or more, and no negative number"
            raise UserError("a parameter out of range", "quickstart[...]", fix)
        self.size, self.seed = size, seed
        self._counts: dict[Split, int] = {"train": train, "val": val, "test": test}

    @property
    def expected(self) -> Mapping[Split, int]:
        return self._counts

    @property
    def found(self) -> Mapping[Split, int]:
        return self._counts

    def completeness(self) -> str:
        """Always "": what is drawn is complete."""
        return ""

    def split(self, split: Split) -> DrawnDataset:
        return DrawnDataset(split, self._counts[split], self.size, self.seed)

    def verify(self) -> list[Finding]:
        """Nothing can be wrong with files that there are none of."""
        return []
