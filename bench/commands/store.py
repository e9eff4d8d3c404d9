"""`check_store`, `collect_garbage`: is all of a store what was written, and what of it is of no use?"""

from __future__ import annotations

from pathlib import Path

from bench.config import load
from bench.plugins.variants import digest
from bench.store import Damage, Garbage, Manifest, Store


def check_store(store: Path | str | None = None, *, repair: bool = False, config: Path | None = None) -> list[Damage]:
    """Read all of a store and hold it against its digests.

    Args:
        store: a folder or a bucket; None takes bench.toml's.
        repair: take what is damaged out, so that the next run makes it anew.
        config: settings instead of ``./bench.toml``.

    Returns:
        What is damaged, or was.

    Raises:
        UserError: there is no store, or it cannot be read.
    """
    found = list(_opened(store, config).damages())
    if repair:
        for damage in found:
            damage.mend()
    return found


def collect_garbage(
    store: Path | str | None = None, *, unused: bool = False, dry_run: bool = False, config: Path | None = None
) -> list[Garbage]:
    """Remove what no run needs: what killed processes have left, and work that was stopped and is not gone on with.

    Args:
        store, config: as `check_store`.
        unused: also the maps and trainings that no cell of the store was made from, such as those of ``bench train``
            that no run has used yet.
        dry_run: only say what.

    Returns:
        What went, or would.

    Raises:
        UserError: as `check_store`; or, with ``unused``, a manifest is damaged: it could be that of a cell that needs
            what would go.
    """
    opened = _opened(store, config)
    if not dry_run:
        opened.tidy()
    found = list(opened.leftovers())
    if unused:
        cells = opened.manifests()
        found += opened.unused({_base(cell) for cell in cells}, {cell.identity.get("fit", "") for cell in cells})
    if not dry_run:
        for garbage in found:
            garbage.remove()
    return found


def _opened(store: Path | str | None, config: Path | None) -> Store:
    opened = Store(store or load(config).defaults.store)
    opened.open_for_reading()
    return opened


def _base(cell: Manifest) -> str:
    return digest(cell.identity.get("base", {}))
