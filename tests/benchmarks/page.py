"""The results as tables: at the end of a run, and as ``docs/performance.md``.

``python -m tests.benchmarks.page FILE.json ...`` writes the page from runs that were kept. A row that the first run has
no numbers for is taken from the next that has: a machine with a GPU may fill what another left empty. What a row says
beside its numbers stands with its declaration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tabulate

from tests.benchmarks.contests import Contest, Entry
from tests.benchmarks.results import Run, number
from tests.benchmarks.rows import TABLE
from tests.conftest import REPOSITORY

tabulate.MIN_PADDING = 0  # as bench's own tables have it, whichever of the two was imported first

PAGE = REPOSITORY / "docs" / "performance.md"
GENERATED = "Generated: edit tests/benchmarks, not this file. python -m tests.benchmarks.page "

HEAD = """# Speed beside what one would run instead

Each row is one piece of work, done by us and by a peer, in turn, in one process. **Times** are CPU time on one thread,
milliseconds an image, medians over rounds; of rows marked *wall* it is wall time with all cores, as their work is that
of several processes or of a GPU. **Ratio**: the peer's time over ours in each round, its median and, in brackets, its
quartiles; above 1 we are faster. What else runs on a machine lengthens both: ratios hold where milliseconds do not.
Where both compute one number, the results are compared first. Processes keep their memory, as those of `bench run` do
([why](metrics.md#cost)); where they do not, both sides take longer, by up to three times.
"""

BESIDE = """## With all cores, and memory

Wall time of the same calls where every library may use all cores, milliseconds an image, and in brackets how many cores
were busy: about 1 is work without parallelism. Memory is what a second call in a fresh process adds to it at its peak,
MiB.
"""


def summary(run: Run, *, short: bool = False) -> str:
    """What a run prints: its rows and its tables, of those declared only the measured ones; CI's with their bounds."""
    names = {entry.name for entry in run.entries}
    rows = [contest for contest in TABLE if str(contest) in names]
    parts = [_about(run)]
    if rows:
        found = _ratios(rows, run.entries)
        if short:
            found = [row | {"fails below": _times(contest.guard)} for row, contest in zip(found, rows, strict=True)]
        parts.append(_tabulated(found))
    for table in run.tables:
        parts += [f"## {table.title}", _tabulated(table.rows)]
    return "\n\n".join(parts) + "\n"


def page(kept: Mapping[str, Run], before: Run | None = None) -> str:
    """The page of one run or more by the files that keep them; the first counts where several have a row.

    Args:
        before: an earlier state of the code, whose ratios and tables are shown beside those of now.
    """
    runs = list(kept.values())
    entries = _merged([run.entries for run in runs])
    tables = {table.title: table for run in reversed(runs) for table in run.tables}
    parts = [
        HEAD,
        "\n\n".join(f"{_about(run)}; kept in `{source}`" for source, run in kept.items()),
        f"**Before**: {_about(before)}" if before else "",
        _tabulated(_ratios(TABLE, entries, before.entries if before else None)),
        _said(entries),
        BESIDE,
        _tabulated(_beside(TABLE, entries)),
    ]
    for table in tables.values():
        parts += [f"## {table.title[:1].upper()}{table.title[1:]}", _tabulated(table.rows)]
        earlier = [then for then in (before.tables if before else []) if then.title == table.title]
        parts += [f"Before:\n\n{_tabulated(then.rows)}" for then in earlier]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _about(run: Run) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in run.machine.items())
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    return f"{run.date}: `{run.command}`; {machine}; {versions}"


def _merged(runs: Sequence[list[Entry]]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for entries in runs:
        for entry in entries:
            if entry.name not in found or (found[entry.name].missing and not entry.missing):
                found[entry.name] = entry
    return list(found.values())


def _entry(contest: Contest, entries: Sequence[Entry]) -> Entry:
    absent = Entry(name=str(contest), missing="not run")
    return next((entry for entry in entries if entry.name == str(contest)), absent)


def _ratios(
    rows: Sequence[Contest], entries: Sequence[Entry], before: Sequence[Entry] | None = None
) -> list[dict[str, str]]:
    found = []
    for contest in rows:
        entry = _entry(contest, entries)
        clock = "" if contest.clock == "cpu" else " (wall)"
        found.append(
            {
                "work": contest.work,
                "setting": contest.setting,
                "peer": contest.peer,
                "peer, ms": number(entry.peer_ms) + (clock if entry.peer_ms else ""),
                "ours, ms": number(entry.ours_ms),
                **({"ratio before": _times(_entry(contest, before).ratio)} if before is not None else {}),
                "ratio": f"{_times(entry.ratio)} ({number(entry.low)} to {number(entry.high)})" if entry.ratio else "",
                "target": _target(contest),
                "met": entry.missing or verdict(contest, entry),
            }
        )
    return found


def verdict(contest: Contest, entry: Entry) -> str:
    """ "yes" or "no" by the median ratio, "" where there is no target or no number."""
    if contest.target is None or entry.ratio is None:
        return ""
    return "yes" if entry.ratio >= contest.target else "**no**"


def _target(contest: Contest) -> str:
    if contest.target is None:
        return "none"
    return f"keep {contest.target:g}x" if contest.keep else f">= {contest.target:g}x"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{number(ratio)}x"


def _beside(rows: Sequence[Contest], entries: Sequence[Entry]) -> list[dict[str, str]]:
    def wall(milliseconds: float | None, cores: float | None) -> str:
        return number(milliseconds) + (f" ({cores:.1f})" if cores is not None else "")

    found = []
    for contest in rows:
        entry = _entry(contest, entries)
        found.append(
            {
                "work": contest.work,
                "setting": contest.setting,
                "peer": contest.peer,
                "peer, wall ms": wall(entry.peer_wall_ms, entry.peer_cores),
                "ours, wall ms": wall(entry.ours_wall_ms, entry.ours_cores),
                "peer, MiB": number(entry.peer_mib),
                "ours, MiB": number(entry.ours_mib),
            }
        )
    return found


def _said(entries: Sequence[Entry]) -> str:
    """What each piece of work is, once, and where the time goes in rows that miss their target."""
    lines = []
    for work in dict.fromkeys(contest.work for contest in TABLE):
        rows = [contest for contest in TABLE if contest.work == work]
        agreement = [f"Results agree {said}." for said in dict.fromkeys(row.agreement for row in rows) if said]
        notes = [*dict.fromkeys(row.note for row in rows if row.note)]
        where: dict[str, list[str]] = {}
        for row in rows:
            if "no" in verdict(row, _entry(row, entries)):
                where.setdefault(row.missed or "not yet explained", []).append(row.setting)
        missed = [f"**Missed** ({'; '.join(settings)}): {why}" for why, settings in where.items()]
        ours = ", ".join(dict.fromkeys(f"`{row.ours}`" for row in rows))
        lines.append(f"- **{work}**: {ours}. " + " ".join([*notes, *agreement, *missed]))
    return "\n".join(line.strip() for line in lines)


def _tabulated(rows: Sequence[Mapping[str, Any]]) -> str:
    return tabulate.tabulate(rows, headers="keys", tablefmt="github", floatfmt=".4g")


def _place(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else path.name


def _line(runs: Sequence[Path], before: Path | None) -> str:
    return " ".join([*map(_place, runs), *(["--before", _place(before)] if before else [])])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="write the page from runs that were kept")
    parser.add_argument("runs", type=Path, nargs="+", metavar="FILE", help="of --results, the one that counts first")
    parser.add_argument("--out", type=Path, default=PAGE, help="where to")
    text = "of an earlier state of the code: its ratios and tables stand beside those of now"
    parser.add_argument("--before", type=Path, metavar="FILE", help=text)
    given = parser.parse_args(argv)
    kept = {_place(path): Run.read(path) for path in given.runs}
    text = page(kept, Run.read(given.before) if given.before else None)
    given.out.write_text(f"<!-- {GENERATED}{_line(given.runs, given.before)} -->\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
