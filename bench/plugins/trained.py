"""Refiners that have nothing left to learn: for use outside of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.config import Settings
from bench.contracts import AsksBase, GoesByName, Refiner, UserError
from bench.plugins.calls import calling
from bench.plugins.variants import Variant, content_hash, digest, resolve
from bench.runtime.folders import kind_of
from bench.store import Learned


def ready_refiner(spec: str, checkpoint: Path | None, settings: Settings, device: str) -> Refiner:
    """Make a refiner that has nothing left to learn.

    Args:
        spec: ``name[key=value,...]``.
        checkpoint: a weights file, which sets the parameter ``weights``; or the folder ``STORE/refiners/KEY`` in which
            a run left what this refiner learned, of whatever kind it is.

    Raises:
        UserError: as `bench.plugins.variants.resolve`; the refiner needs training, the ground truth or the base; or the
            checkpoint is of another one.
    """
    variant, folder = _with_checkpoint(spec, checkpoint, settings)
    refiner: Refiner = variant.make(device=device, seed=0)
    if refiner.uses_ground_truth:
        raise UserError(f"{spec} needs the ground truth", "--refiner", "name a refiner that does without")
    if isinstance(refiner, AsksBase):
        raise UserError(f"{spec} needs the base network", "--refiner", "use it with 'bench run'")
    if isinstance(refiner, GoesByName):
        raise UserError(f"{spec} goes by the names of a dataset's images", "--refiner", "use it with 'bench run'")
    if folder is not None:
        finished = _left_by(variant, folder)
        with calling(spec):
            refiner.fit(_Unread(folder, finished.get("ids")), folder)
    elif refiner.trainable:
        fix = "train it with 'bench run', then give --checkpoint STORE/refiners/KEY"
        raise UserError(f"{spec} is not trained", "--refiner", fix)
    return refiner


def identity_of(spec: str, checkpoint: Path | None, settings: Settings) -> tuple[str, str]:
    """The name of a refiner with its checkpoint, and the hex digest of all that changes what it makes of an image.

    Args:
        spec, checkpoint: as `ready_refiner`; a file or folder counts by its contents.

    Raises:
        UserError: as `bench.plugins.variants.resolve`, or no checkpoint is there.
    """
    variant, folder = _with_checkpoint(spec, checkpoint, settings)
    learned = {} if folder is None else {"learned": content_hash(folder)}
    name = variant.label if folder is None else f"{variant.label} with the checkpoint {folder.name}"
    return name, digest({**variant.identity, **learned})


def _with_checkpoint(spec: str, checkpoint: Path | None, settings: Settings) -> tuple[Variant, Path | None]:
    """The variant; and the folder of what it learned, where that is no file."""
    folder = checkpoint if checkpoint is not None and kind_of(checkpoint) == "folder" else None
    if checkpoint is not None and not kind_of(checkpoint):
        raise UserError("no such checkpoint", checkpoint, "name a weights file or a folder with --checkpoint")
    return resolve("refiner", spec, settings, weights=checkpoint if folder is None else None), folder


def _left_by(variant: Variant, folder: Path) -> dict[str, Any]:
    """What the fit of it has written there last. Raises UserError where another refiner's fit has, or none."""
    finished = Learned(folder).finished or {}
    found = finished.get("refiner")
    if found is None:
        fix = "name a folder STORE/refiners/KEY of 'bench run', or a weights file"
        raise UserError("no run has left a trained refiner here", folder, fix)
    # An earlier version wrote the name alone.
    same = finished["identity"] == digest(variant.identity) if "identity" in finished else found == variant.label
    if not same:
        said = f"what is here was learned by {found}, not {variant.label}"
        if found == variant.label:
            said = f"what is here was learned by another version of {found}, or with other parameters"
        raise UserError(said, folder, f"say --refiner '{found}', with the parameters it had then")
    return finished


class _Unread:
    """`bench.contracts.MapDataset` for a fit that is to load and not to learn.

    Args:
        folder: of what was learned.
        ids: val's, as it was learned from; None where an earlier version has not written them.
    """

    def __init__(self, folder: Path, ids: Sequence[str] | None) -> None:
        self._folder, self._ids = folder, ids

    @property
    def ids(self) -> Sequence[str]:
        return self._refuse() if self._ids is None else self._ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int, /) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UserError("what was learned is not whole", self._folder, "train it again with 'bench run --force'")
