"""``bench check``: the checks of an installed plug-in, in a process of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.config import KINDS, Kind, Settings, load, unknown
from bench.conformance import checks
from bench.conformance.declared import parameter_checks, stand_ins
from bench.conformance.report import Check, ContractError, Line, Remark, results
from bench.contracts import UserError
from bench.plugins.catalogue import SECONDS
from bench.plugins.entry_points import Entry, entries, names
from bench.plugins.spec import parse, parts_of
from bench.plugins.variants import Variant, resolve
from bench.runtime.child import ONE_THREAD
from bench.runtime.isolation import LostError, isolated

QUICK = 2.0
"""Seconds of computing that an import may take without a remark: ``bench list`` and every run wait for it."""


def check(
    names: Sequence[str], *, kind: Kind | None = None, timeout: float = 300.0, config: Path | None = None
) -> Iterator[tuple[str, Line]]:
    """Check installed plug-ins, each in a fresh process on one thread.

    Args:
        names: ``name[key=value,...]`` each; variants of bench.toml too.
        kind: of all the names; None where each belongs to one kind only.
        timeout: seconds that one check may take.

    Yields:
        "refiner sharpen", and a line of its report, as soon as it is known.

    Raises:
        UserError: an unknown name, or one that several kinds have; or at the end, how many checks failed.
    """
    settings = load(config)
    found = [(kind or _kind(name, settings), name) for name in names]
    failed = count = 0
    for one, name in found:
        for line in _isolated(one, name, settings, timeout):
            failed += line.status == "FAIL"
            count += 1
            yield f"{one} {name}", line
    if failed:
        where = f"bench check {' '.join(names)}"
        raise UserError(f"{failed} of {count} checks failed", where, "the lines marked FAIL say what to repair")


def _kind(spec: str, settings: Settings) -> Kind:
    if len(parts_of(spec, "bench check")) > 1:
        return "refiner"
    name = parse(spec, "bench check").name
    named = {kind: {*names(kind), *getattr(settings.variants, kind)} for kind in KINDS}
    kinds = [kind for kind in KINDS if name in named[kind]]
    if not kinds:
        raise unknown("plug-in", name, set().union(*named.values()), "bench check")
    if len(kinds) > 1:
        raise UserError(f"{name!r} is a {' and a '.join(kinds)}", "bench check", f"add --kind {kinds[0]}")
    return kinds[0]


def _isolated(kind: Kind, spec: str, settings: Settings, timeout: float) -> Iterator[Line]:
    """The lines of the checks, and a last one where the process was lost to one of them."""
    current = "import"
    try:
        # A cost is declared for one core.
        for line in isolated(_check, kind, spec, settings, seconds=timeout, environment=ONE_THREAD):
            current = line.what
            if line.status != "begun":
                yield line
    except LostError as lost:
        yield Line("FAIL", current, f"the process that ran this check: {lost}")


def _check(kind: Kind, spec: str, settings: Settings) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        yield from results(_checks(kind, spec, settings, Path(folder)))


def _checks(kind: Kind, spec: str, settings: Settings, workdir: Path) -> Iterator[Check]:
    """Each is made when those before it have run: what they found is here then."""
    found: list[Entry] = []
    variants: list[Variant] = []
    parts = [parse(part, "bench check").name for part in parts_of(spec, "bench check")]
    # A sequence has no class of its own that could be looked at.
    if len(parts) == 1 and (name := parts[0]) in names(kind):
        yield Check("import", lambda: _import(kind, name, found), vital=True)
        yield from parameter_checks(found[0])
        settings = _with_stand_ins(found[0], settings)
    yield Check("name", lambda: _resolve(kind, spec, settings, variants), vital=True)
    yield from checks(variants[0], workdir, settings.dataset_root(variants[0].entry.name))


def _import(kind: Kind, name: str, found: list[Entry]) -> str:
    begin, computing = time.perf_counter(), time.process_time()
    found += entries(kind, only=name).values()
    seconds, computing = time.perf_counter() - begin, time.process_time() - computing
    if found[0].problem:
        raise ContractError(found[0].problem)
    if seconds > SECONDS:
        raise ContractError(f"takes {seconds:.1f} s; import heavy libraries inside the functions that use them")
    if computing > QUICK:
        return Remark(f"takes {seconds:.1f} s, and 'bench list' waits for it: import heavy libraries inside functions")
    return f"{seconds:.2f} s"


def _with_stand_ins(entry: Entry, settings: Settings) -> Settings:
    """The settings, in which what the plug-in cannot be made without is set where nothing else sets it."""
    given = stand_ins(entry) | settings.parameters.get(entry.name, {})
    return settings.model_copy(update={"parameters": settings.parameters | {entry.name: given}})


def _resolve(kind: Kind, spec: str, settings: Settings, variants: list[Variant]) -> str:
    variants.append(resolve(kind, spec, settings, "bench check"))
    return variants[0].label
