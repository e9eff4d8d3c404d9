"""A comparison of two stores as sheets, and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.reports.captions import counted, origin
from bench.reports.comparison import Change, Comparison, Unpaired, Verdict
from bench.reports.reading import Found
from bench.reports.resampling import CONFIDENCE
from bench.reports.selection import Selected
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.reports.statistics import FEW, points

SAID: dict[Verdict, str] = {
    "regressed": "regressed",
    "improved": "improved",
    "changed": "changed otherwise",
    "equal": "equal, bit for bit",
}

_CELL = (
    Field(key="dataset", title="Dataset"),
    Field(key="limit", title="Limit", digits=0),
    Field(key="protocol", title="Protocol"),
    Field(key="base", title="Base"),
    Field(key="refiner", title="Refiner"),
    Field(key="seed", title="Seed", digits=0),
)


def sheets(comparison: Comparison, before: Found, after: Found, names: tuple[str, str]) -> tuple[Sheet, ...]:
    """What changed, metric by metric; the cells with their costs; what one store lacks; the count of cells.

    Args:
        comparison: of the two.
        before, after: the stores A and B.
        names: what they are called.
    """
    found = [
        _changes(comparison, fractions=True),
        _changes(comparison, fractions=False),
        _cells(comparison),
        _unpaired(comparison.unpaired),
        _summary(comparison),
    ]
    first, *more = [each for each in found if each.rows]
    sides = zip("AB", names, (before, after), strict=True)
    whose = tuple("; ".join([f"{side}: {name}", *origin(store.cells)]) for side, name, store in sides)
    return replace(first, remarks=whose), *more


def sentence(comparison: Comparison) -> str:
    """What a reader is to know, with its full stop."""
    total = f"of {counted(len(comparison.cells), 'compared cell')}"
    equal, better, other = (len(comparison.of(verdict)) for verdict in ("equal", "improved", "changed"))
    rest = f"{total}, {equal} equal bit for bit, {better} improved, {other} changed otherwise"
    worse = [
        (change, cell.cell) for cell in comparison.cells for change in cell.changes if change.verdict == "regressed"
    ]
    if not worse and not comparison.lost:
        if equal == len(comparison.cells):
            more = f"; finished in one store alone: {len(comparison.unpaired)}" if comparison.unpaired else ""
            return f"No difference: {counted(equal, 'compared cell')}, all equal bit for bit{more}."
        return f"Nothing regressed by more than {comparison.tolerance:g} points: {rest}."
    said = []
    if worse:
        most, where = max(worse, key=lambda found: _size(found[0]))
        said.append(
            f"{counted(len(comparison.of('regressed')), 'cell')} regressed, the most {_title(where)}: "
            f"{most.metric.title} {_interval(most)} points"
        )
    if comparison.lost:
        said.append(f"{counted(len(comparison.lost), 'cell')} of A failed in B: {_title(comparison.lost[0].cell)}")
    return f"Worse: {'; '.join(said)}; {rest}."


def _changes(comparison: Comparison, *, fractions: bool) -> Sheet:
    """The metrics that are fractions in percent points, with verdicts; the others as they are stored."""
    scale, digits = (100, 2) if fractions else (1, 4)
    shown = "in percent points" if fractions else "in the metric's own unit"
    fields = (
        *_CELL,
        Field(key="metric", title="Metric"),
        Field(key="a", title="A", digits=digits, scale=scale),
        Field(key="b", title="B", digits=digits, scale=scale),
        Field(key="change", title="B - A", meaning=f"mean paired difference {shown}", digits=digits, scale=scale,
              signed=True),
        Field(key="low", title="from", meaning=_INTERVAL, digits=digits, scale=scale, signed=True),
        Field(key="high", title="to", digits=digits, scale=scale, signed=True),
        Field(key="images", title="Images", meaning="in the mean", digits=0),
        Field(key="changed", title="changed", meaning="images whose value differs", digits=0),
        Field(key="one_sided", title="one side", meaning="images with a value in one store alone", digits=0),
        *([Field(key="verdict", title="Verdict")] if fractions else []),
    )  # fmt: skip
    rows = []
    for cell in comparison.cells:
        for change in cell.changes:
            if change.metric.fraction == fractions:
                rows.append({**_of_cell(cell.cell), **_of_change(change, judged=fractions)})
    return sheet(
        "changes" if fractions else "further",
        "What changed, B minus A" if fractions else "Metrics in units of their own, not judged",
        told := _told(fields, rows),
        rows,
        repeated=[field.key for field in told].index("metric"),
        notes=rules(comparison.tolerance) if fractions else (),
    )


_INTERVAL = f"ends of the {CONFIDENCE * 100:.0f} % bootstrap interval of the mean difference"


def rules(tolerance: float) -> tuple[str, ...]:
    """What the verdicts mean, without full stops."""
    return (
        f"regressed: worse by more than {tolerance:g} points, and the interval excludes zero; improved likewise; else "
        "changed. Cells that are equal bit for bit have no row here",
        f"With fewer than {FEW} images the interval covers less than it says, and with one there is none: then nothing "
        "is judged",
    )


def _of_change(change: Change, *, judged: bool) -> dict[str, Value]:
    gain = change.gain
    return {
        "metric": change.metric.title,
        "a": change.before,
        "b": change.after,
        "change": gain.mean if gain else None,
        "low": gain.low if gain else None,
        "high": gain.high if gain else None,
        "images": gain.images if gain else 0,
        "changed": change.images,
        "one_sided": change.one_sided,
        **({"verdict": change.verdict} if judged else {}),
    }


def _cells(comparison: Comparison) -> Sheet:
    fields = (
        *_CELL,
        Field(key="images", title="Images", digits=0),
        Field(key="changed", title="changed", meaning="images with another value in any metric", digits=0),
        Field(key="verdict", title="Verdict"),
        Field(key="seconds_a", title="s/image A", meaning="seconds of the refine step, median over images", digits=3),
        Field(key="seconds_b", title="s/image B", digits=3),
        Field(key="ratio", title="B / A", meaning="of the seconds, which are never judged", digits=2),
    )
    rows = []
    for cell in comparison.cells:
        old, new = cell.seconds
        rows.append(
            {
                **_of_cell(cell.cell),
                "images": cell.images,
                "changed": cell.changed,
                "verdict": SAID[cell.verdict],
                "seconds_a": old,
                "seconds_b": new,
                "ratio": new / old if old and new is not None else None,
            }
        )
    return sheet("cells", "All compared cells", _told(fields, rows), rows)


def _unpaired(cells: Sequence[Unpaired]) -> Sheet:
    fields = *_CELL, Field(key="finished", title="Finished in"), Field(key="other", title="The other store")
    rows = [{**_of_cell(each.cell), "finished": each.where, "other": each.why} for each in cells]
    return sheet("unpaired", "Finished in one store alone", _told(fields, rows), rows)


def _summary(comparison: Comparison) -> Sheet:
    """It ends with the sentence: its columns have no meanings to follow it."""
    fields = Field(key="what", title="Cells"), Field(key="count", title="Number", digits=0)
    counts = {
        "compared": len(comparison.cells),
        **{said: len(comparison.of(verdict)) for verdict, said in SAID.items()},
        "finished in A alone": sum(cell.where == "A" for cell in comparison.unpaired),
        "of them failed in B": len(comparison.lost),
        "finished in B alone": sum(cell.where == "B" for cell in comparison.unpaired),
    }
    newer = (
        f"of {counted(comparison.replaced, 'cell')} a newer one has failed, with other data or parameters: compared "
        "is what finished"
    )
    rows: list[dict[str, Value]] = [{"what": what, "count": count} for what, count in counts.items()]
    notes = (*([newer] if comparison.replaced else []), sentence(comparison).removesuffix("."))
    return sheet("summary", "Summary", fields, rows, notes=notes)


def _of_cell(cell: Selected) -> dict[str, Value]:
    one = cell.manifest
    return {
        "dataset": cell.dataset,
        "limit": one.limit,
        "protocol": one.protocol,
        "base": cell.base,
        "refiner": cell.refiner,
        "seed": one.seed,
    }


def _told(fields: Sequence[Field], rows: list[dict[str, Value]]) -> tuple[Field, ...]:
    """The columns but those that say nothing: no limit anywhere, no image with a value on one side alone."""
    silent = {key for key in ("limit", "one_sided") if not any(row.get(key) for row in rows)}
    for row in rows:
        for key in silent:
            row.pop(key, None)
    return tuple(field for field in fields if field.key not in silent)


def _size(change: Change) -> float:
    return abs(change.gain.mean) if change.gain else 0.0


def _interval(change: Change) -> str:
    gain = change.gain
    if gain is None or gain.low is None or gain.high is None:
        return ""
    return f"{points(gain.mean)} [{points(gain.low)}, {points(gain.high)}]"


def _title(cell: Selected) -> str:
    return f"{cell.dataset} > {cell.base} > {cell.refiner} (seed {cell.manifest.seed})"
