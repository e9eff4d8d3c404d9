"""Which refiner is best over several bases and datasets: mean ranks, how steady they are, and claims that A beats B.

A block is one base on one dataset. Ranked are the refiners that every block has, the base itself among them, oracles
and contaminated rows aside (Demšar 2006). Intervals draw the blocks anew, and within each block its images (groups,
seeds): a rank is to hold for another base, too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.contracts import UserError
from bench.reports import resampling
from bench.reports.columns import QUALITY
from bench.reports.pairs import resampled
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.reports.tables import Block, Report

FEWEST = 3
"""Refiners that ranks, and Friedman's test, want at least, the base itself among them."""

_DECIDES = QUALITY[0]


@dataclass(frozen=True)
class Ranking:
    """Refiners over blocks.

    Attributes:
        refiners: R of them, best mean rank first.
        blocks: what the B blocks are called.
        values: ``(B, R)``, the value of each refiner in each block.
        ranks: ``(B, R)``, 1 is best, ties share the mean of their places.
        drawn: ``(RESAMPLES, R)``, mean ranks over resampled blocks and images.
        values_drawn: ``(RESAMPLES, R)``, mean values over the same.
        left_out: the blocks that have less than `FEWEST` refiners.
    """

    refiners: tuple[str, ...]
    blocks: tuple[str, ...]
    values: NDArray[np.float64]
    ranks: NDArray[np.float64]
    drawn: NDArray[np.float64]
    values_drawn: NDArray[np.float64]
    left_out: tuple[str, ...] = ()


def ranking(report: Report) -> Ranking:
    """The refiners of a report by mIoU.

    Raises:
        UserError: less than two blocks, or less than three refiners that all of them have.
    """
    every = [(f"{group.title}, {block.base}", block) for group, block in report.blocks]
    short = tuple(name for name, block in every if len(_able(block)) < FEWEST)
    named = [(name, block) for name, block in every if len(_able(block)) >= FEWEST]
    able = [_able(block) for _, block in named]
    everywhere = set.intersection(*map(set, able)) if able else set()
    common = [refiner for refiner in able[0] if refiner in everywhere] if able else []
    if len(named) < 2 or len(common) < FEWEST:
        found = f"{len(named)} blocks (base on dataset) with {len(common)} refiners in all of them"
        raise UserError(f"no ranks: {found}", "--ranks", "two blocks and three refiners are the least; run more cells")
    values, ranks = [], []
    # Blocks are drawn as seeds are, by a seed that no block's images are drawn by: the same for ranks and values.
    weights = resampling.seed_weights(len(named), seed=len(named))
    drawn, values_drawn = (np.zeros((len(weights), len(common))) for _ in range(2))
    for place, (name, block) in enumerate(named):
        by_refiner = {row.refiner: row for row in block.rows}
        rows = [by_refiner[refiner] for refiner in common]
        means = resampled(rows, _DECIDES, block.groups, seed=place)
        if not len(means):
            raise UserError("its refiners share less than two images, so there is no rank", name, "run the same images")
        values.append([row.values[_DECIDES.key] for row in rows])
        ranks.append(_ranked(np.array(values[-1], np.float64)))
        drawn += weights[:, place, None] * _ranked(means)
        values_drawn += weights[:, place, None] * means
    order = np.argsort(np.mean(ranks, axis=0), kind="stable")
    return Ranking(
        tuple(common[place] for place in order),
        tuple(name for name, _ in named),
        np.array(values, np.float64)[:, order],
        np.array(ranks)[:, order],
        drawn[:, order],
        values_drawn[:, order],
        short,
    )


RANKS = (
    Field(key="refiner", title="refiner"),
    Field(key="rank", title="mean rank", digits=2),
    Field(key="low", title="low", digits=2),
    Field(key="high", title="high", digits=2),
    Field(key="value", title="mean", digits=2, scale=100),
    Field(key="blocks_won", title="blocks won", digits=0),
    Field(key="first", title="first in", digits=0, scale=100, unit=" %"),
)
CLAIMS = (
    Field(key="better", title="A"),
    Field(key="worse", title="B"),
    Field(key="difference", title="A - B", digits=1, scale=100, signed=True),
    Field(key="low", title="low", digits=1, scale=100, signed=True),
    Field(key="high", title="high", digits=1, scale=100, signed=True),
    Field(key="wrong", title="P(false)", digits=3),
    Field(key="nemenyi", title="Nemenyi p", digits=3),
)


def sheets(found: Ranking) -> list[Sheet]:
    """The mean ranks, and the claims."""
    return [_ranks(found), _claims(found)]


def nemenyi(found: Ranking) -> pd.DataFrame:
    """p-values of all pairs by the Nemenyi test after Friedman's; scikit-posthocs'."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    return posthoc_nemenyi_friedman(pd.DataFrame(-found.ranks, found.blocks, found.refiners))


def _ranks(found: Ranking) -> Sheet:
    observed = found.ranks.mean(axis=0)
    leading = found.drawn == found.drawn.min(axis=1, keepdims=True)
    first = (leading / leading.sum(axis=1, keepdims=True)).mean(axis=0)
    won = (found.ranks == found.ranks.min(axis=1, keepdims=True)).sum(axis=0)
    rows: list[dict[str, Value]] = []
    for place, refiner in enumerate(found.refiners):
        low, high = resampling.interval(found.drawn[:, place])
        rows.append(
            {
                "refiner": refiner,
                "rank": float(observed[place]),
                "low": low,
                "high": high,
                "value": float(found.values[:, place].mean()),
                "blocks_won": int(won[place]),
                "first": float(first[place]),
            }
        )
    from scipy.stats import friedmanchisquare, kendalltau  # late: most tables have none of it, and need not wait for it

    friedman = friedmanchisquare(*found.ranks.T)
    steady = np.array([kendalltau(observed, drawn).statistic for drawn in found.drawn[:: len(found.drawn) // 500]])
    turned = [
        block
        for place, block in enumerate(found.blocks)
        if np.delete(found.ranks, place, axis=0).mean(axis=0).argmin() != observed.argmin()
    ]
    remarks = [
        f"ranks by {_DECIDES.title} over {len(found.blocks)} blocks: {'; '.join(found.blocks)}",
        f"Friedman's test that all refiners rank alike: chi2 {friedman.statistic:.2f}, p {friedman.pvalue:.4f}",
        f"order kept over resampled blocks and images: Kendall's tau {np.nanmean(steady):.2f} on average, "
        f"{np.nanquantile(steady, 0.05):.2f} in the worst 5 %",
        "the first stays first whichever block is left out"
        if not turned
        else f"another is first without {' or without '.join(turned)}",
    ]
    if found.left_out:
        remarks.append(f"left out, as they have fewer than {FEWEST} refiners: {'; '.join(found.left_out)}")
    notes = (
        "mean rank: 1 is best; with its 95 % interval (low, high) over resampled blocks and, in each, images",
        f"mean: {_DECIDES.title}, mean over the blocks; ranks do not see by how much one is better, this does",
        "first in: share of the resamples in which it has the best mean rank",
        "few blocks make wide intervals: eight bases are eight observations, however many images they have",
    )
    return sheet("ranks", "Ranks", RANKS, rows, remarks=tuple(remarks), notes=notes)


def _claims(found: Ranking) -> Sheet:
    p = nemenyi(found).to_numpy(np.float64)
    rows: list[dict[str, Value]] = []
    for better, worse in itertools.combinations(range(len(found.refiners)), 2):
        drawn = found.values_drawn[:, better] - found.values_drawn[:, worse]
        low, high = resampling.interval(drawn)
        rows.append(
            {
                "better": found.refiners[better],
                "worse": found.refiners[worse],
                "difference": float((found.values[:, better] - found.values[:, worse]).mean()),
                "low": low,
                "high": high,
                "wrong": float((drawn <= 0).mean()),
                "nemenyi": float(p[better, worse]),
            }
        )
    notes = (
        "A - B: points, mean over the blocks, with its 95 % interval (low, high) over resampled blocks and images",
        "P(false): of the claim that A beats B: share of those resamples in which A is not above B",
        "Nemenyi p: of the ranks of the pair, corrected for all pairs",
    )
    return sheet("claims", "Does A beat B?", CLAIMS, rows, notes=notes, repeated=1)


def _able(block: Block) -> list[str]:
    """The refiners that may compete."""
    return [row.refiner for row in block.rows if row.status == "done" and not row.oracle and not row.contaminated]


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    return np.asarray(rankdata(-values, axis=-1))
