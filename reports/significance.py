"""Is it significant in this family: paired tests of each refiner against its base, with Holm's correction.

The family is all refiners of one base that a table compares, oracles aside; one family a metric. The tests are
scipy's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.reports.columns import Column
from bench.reports.pairs import GAINS, aligned, numbered
from bench.reports.resampling import RESAMPLES
from bench.reports.rows import Row
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.reports.tables import Block, Group, Report

LEVEL = 0.05
_AT_ONCE = 4_000_000  # 32 MB of float64 for one batch of exchanges


@dataclass(frozen=True)
class Tested:
    """Two paired tests of the same differences, refined minus base.

    Attributes:
        wilcoxon: p of the Wilcoxon signed-rank test, two-sided; images without a difference are ranked, too (Pratt
            1959), as dropping them would forget the images that a refiner leaves alone.
        permutation: p of the test that exchanges refined and base in random images (9,999 times), two-sided, of the
            mean difference.
        effect: matched-pairs rank-biserial correlation (Kerby 2014), -1..1: the share of the ranks of the differences
            that lies with images that gained, less the share with those that lost; 0 where nothing differs.
    """

    wilcoxon: float
    permutation: float
    effect: float


def examined(differences: NDArray[np.float64], *, seed: int = 0) -> Tested:
    """The tests of ``(N,)`` differences without NaN. Where all are zero, both p are 1."""
    if not differences.any():
        return Tested(1.0, 1.0, 0.0)
    from scipy.stats import wilcoxon  # late: most tables have no tests, and need not wait for it

    return Tested(
        wilcoxon=float(wilcoxon(differences, zero_method="pratt").pvalue),
        permutation=_permutation(differences, seed),
        effect=_rank_biserial(differences),
    )


def _permutation(differences: NDArray[np.float64], seed: int) -> float:
    """p of `Tested.permutation`: of all exchanges where those are few, else of as many at random.

    scipy's test draws its exchanges image by image, which takes half a minute for 20,000 of them: it has the first kind
    alone. Images without a difference are the same exchanged, and are left out.
    """
    moved = differences[differences != 0]
    if 2 ** len(moved) <= RESAMPLES:
        from scipy.stats import permutation_test

        padded = np.append(moved, 0.0)  # scipy asks for two
        return float(permutation_test((padded,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue)
    rng, batch = np.random.default_rng(seed), max(1, _AT_ONCE // len(moved))
    found, close = moved.sum(), 100 * np.finfo(np.float64).eps * np.abs(moved).sum()
    more = less = 1  # what was found is one of the exchanges, too
    for start in range(0, RESAMPLES, batch):
        bits = rng.integers(0, 256, (min(batch, RESAMPLES - start), -(-len(moved) // 8)), np.uint8)
        stays = np.unpackbits(bits, axis=1, count=len(moved)).astype(np.float64)
        sums = 2 * (stays @ moved) - found
        more += int(np.count_nonzero(sums >= found - close))
        less += int(np.count_nonzero(sums <= found + close))
    return min(1.0, 2 * min(more, less) / (RESAMPLES + 1))


def holm(values: Sequence[float]) -> list[float]:
    """The p-values of one family, corrected by Holm (1979); none for none."""
    # statsmodels has it, too, but collects garbage in each call: half a second where a report is large.
    order = np.argsort(values, kind="stable")
    steps = np.asarray(values, np.float64)[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()


FIELDS = (
    Field(key="dataset", title="dataset"),
    Field(key="base", title="base"),
    Field(key="metric", title="metric"),
    Field(key="refiner", title="refiner"),
    Field(key="n", title="n", digits=0),
    Field(key="gain", title="gain", digits=1, scale=100, signed=True),
    Field(key="low", title="low", digits=1, scale=100, signed=True),
    Field(key="high", title="high", digits=1, scale=100, signed=True),
    Field(key="wilcoxon", title="Wilcoxon p", digits=4),
    Field(key="wilcoxon_holm", title="Holm", digits=4),
    Field(key="permutation", title="permutation p", digits=4),
    Field(key="permutation_holm", title="Holm", digits=4),
    Field(key="effect", title="effect", digits=2, signed=True),
    Field(key="said", title="says"),
)

_NOTES = (
    "gain: points over the base's own map, with its 95 % bootstrap interval (low, high)",
    "Wilcoxon p: signed-rank test of the paired differences, two-sided; images without a difference are ranked (Pratt)",
    f"permutation p: refined and base exchanged in random images, {RESAMPLES:,} times, two-sided, of the mean; its "
    f"smallest value is {2 / (RESAMPLES + 1):.4f}",
    "Holm: the p before it, corrected for its family: the refiners of one base, by one metric",
    "effect: matched-pairs rank-biserial correlation, -1 (every image lost) to +1 (every image gained)",
    f"says: better or worse where both corrected p are below {LEVEL:g}; else not shown, which is not the same as equal",
    "the tests take one value an image, its mean over the seeds; where groups are given, one value a group",
)


def sheets(report: Report) -> list[Sheet]:
    """One sheet: a row a dataset, base, metric and refiner, in the order of the tables."""
    rows = [row for group, block in report.blocks for row in _of_block(group, block, report.baseline)]
    families = dict.fromkeys(
        f"{group.title}, {block.base}: {', '.join(row.refiner for row in _family(block, report.baseline))}"
        for group in report.groups
        for block in group.blocks
        if _family(block, report.baseline)
    )
    remarks = tuple(f"family of {family}" for family in families)
    return [sheet("tests", "Paired tests", FIELDS, rows, remarks=remarks, notes=_NOTES, repeated=3)]


def _family(block: Block, baseline: str) -> list[Row]:
    return [row for row in block.rows if row.gains and row.refiner != baseline and not row.oracle]


def _of_block(group: Group, block: Block, baseline: str) -> Iterator[dict[str, Value]]:
    own = next((row for row in block.rows if row.refiner == baseline), None)
    for column in GAINS:
        family = [row for row in _family(block, baseline) if column.key in row.gains]
        if own is None or not family:
            continue
        vectors = [_vector(row, own, column, block.groups) for row in family]
        found = [examined(vector) for vector in vectors]
        ranks, swaps = holm([each.wilcoxon for each in found]), holm([each.permutation for each in found])
        for row, vector, each, rank, swap in zip(family, vectors, found, ranks, swaps, strict=True):
            gain = row.gains[column.key]
            shown = max(rank, swap) < LEVEL
            yield {
                "dataset": group.title,
                "base": block.base,
                "metric": column.title,
                "refiner": row.refiner,
                "n": len(vector),
                "gain": gain.mean,
                "low": gain.low,
                "high": gain.high,
                "wilcoxon": each.wilcoxon,
                "wilcoxon_holm": rank,
                "permutation": each.permutation,
                "permutation_holm": swap,
                "effect": each.effect,
                "said": ("better" if gain.mean > 0 else "worse") if shown else "not shown",
            }


def _vector(row: Row, own: Row, column: Column, groups: Mapping[str, str] | None) -> NDArray[np.float64]:
    """One difference an image, or a group: independent of the others as far as the tests ask."""
    pair = aligned((row, own), column.parts)
    assert pair is not None  # the row has a gain
    by_image = (pair.values[:, :, 0, 0] - pair.values[:, :, 1, 0]).mean(axis=1)
    numbers = numbered(pair.images, groups)
    if numbers is None:
        return np.asarray(by_image)
    return np.asarray(np.bincount(numbers, by_image) / np.bincount(numbers))


def _rank_biserial(differences: NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    moved = differences[differences != 0]
    ranks = rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum())
