"""What a reader has to know about a group of rows before comparing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.contracts import PROTOCOLS
from bench.reports.rows import Row
from bench.reports.selection import Selected
from bench.reports.statistics import FEW, FEW_MARK
from bench.store import LAYOUT, STARTED, Manifest


def remarks(cells: Sequence[Selected], rows: Sequence[Row]) -> tuple[str, ...]:
    """Sentences on images, seeds, protocol and what was left out, without full stops."""
    manifests = [cell.manifest for cell in cells]
    superseded = sum(cell.superseded for cell in cells)
    found = [
        images(rows),
        _few(rows),
        *map(partial, copies(cells)),
        protocol(manifests[0].rules, manifests[0].protocol),
        seeds(rows),
        _workers([manifest for manifest in manifests if manifest.status == "done"]),
        _memory([manifest for manifest in manifests if manifest.status == "done"], rows),
        _earlier(manifests[0]),
        f"left out: {counted(superseded, 'earlier cell')} of the same names, with other data or parameters"
        if superseded
        else "",
    ]
    return tuple(remark for remark in found if remark)


def copies(cells: Sequence[Selected]) -> tuple[str, ...]:
    """What their copies of the dataset hold, where they are partial: ``6 of 6226 pairs``."""
    return tuple(_distinct(cell.manifest.complete for cell in cells))


def partial(copy: str) -> str:
    """One of `copies` as a remark."""
    return f"partial copy: {copy}"


def protocol(rules: str, name: str) -> str:
    """The remark on the rules, and on what was trained on what."""
    return f"{rules}, protocol {name} ({PROTOCOLS[name]})"


def origin(cells: Sequence[Selected]) -> tuple[str, ...]:
    """Device, version, commit and dates of the finished cells, as `remarks`; a manifest may lack any of them."""
    manifests = [cell.manifest for cell in cells if cell.manifest.status == "done"]
    environments = [manifest.environment for manifest in manifests]
    parts = {
        "device": (environment.get("device_name") or environment.get("device") for environment in environments),
        "refinebench": (environment.get("versions", {}).get("refinebench") for environment in environments),
        "commit": (_short(environment.get("commit") or "") for environment in environments),
    }
    found = [f"{label} {' / '.join(found)}" for label, values in parts.items() if (found := _distinct(values))]
    days = sorted(_distinct(manifest.written[:10] for manifest in manifests))
    if days:
        found.append(f"run {days[0]}" if len(days) == 1 else f"run {days[0]} to {days[-1]}")
    return tuple(found)


def _earlier(manifest: Manifest) -> str:
    if manifest.layout == LAYOUT:
        return ""
    return "stored by an earlier version of the program: 'bench run' computes these cells anew"


def images(rows: Sequence[Row]) -> str:
    """The remark on the number of images; "" where no row is done."""
    counts = sorted({row.images for row in rows if row.status == "done"})
    if not counts:
        return ""
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]} test images"
    return counted(counts[0], "test image")


def _few(rows: Sequence[Row]) -> str:
    if min((row.images for row in rows if row.status == "done"), default=FEW) >= FEW:
        return ""
    return f"fewer than {FEW} images: a 95 % interval ({FEW_MARK}) covers less, see docs/statistics.md"


def seeds(rows: Sequence[Row]) -> str:
    """The remark on the seeds; "" where no row is done."""
    found = sorted({seed for row in rows for seed in row.seeds})
    if len(found) < 2:
        return f"seed {found[0]}" if found else ""
    listed = ", ".join(map(str, found))
    return f"{len(found)} seeds ({listed}), an image's values averaged over them; intervals draw seeds, too"


def _workers(manifests: Sequence[Manifest]) -> str:
    counts = sorted({manifest.environment.get("workers", 1) for manifest in manifests})
    if not counts or counts[-1] == 1:
        return ""
    return f"{' or '.join(map(str, counts))} workers side by side: seconds are one image's in one worker"


def _memory(manifests: Sequence[Manifest], rows: Sequence[Row]) -> str:
    # Versions that forked nothing said nothing.
    kinds = {kind for one in manifests for kind in one.environment.get("process", STARTED).split("; ")}
    if len(kinds) == 1 or all(row.values.get("peak_rss_mb") is None for row in rows):
        return ""
    return "RAM is of processes that were forked for some cells and started afresh for others: it cannot be compared"


def _short(commit: str) -> str:
    """Its first 12 digits, and ``+changes`` where the tree differed."""
    digits, plus, changes = commit.partition("+")
    return digits[:12] + plus + changes


def _distinct(values: Iterable[str | None]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; "" of none."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
