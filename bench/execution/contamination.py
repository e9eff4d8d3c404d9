"""The contamination ledger: which test images did public weights see when others trained them?

A dataset says which published image sets its splits are taken from (`bench.contracts.Ledgered`). A base or a refiner
says what its public weights were trained on (`bench.contracts.PubliclyTrained`); of weights that a parameter names as a
file, ``ledger.toml`` and ``[ledger]`` of bench.toml say it, by the file's hash. Where both name a set, the cell's
numbers are not clean. What is trained inside a run, on the dataset's own train and val, is none of that. Of a dataset
that declares nothing (``folder``, ``quickstart``), of maps on disk and of files that no ledger lists, nothing is known
and nothing is said.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.config import Settings
from bench.contracts import DatasetSource, Ledgered, PubliclyTrained, Split
from bench.plugins.variants import Variant


def corpora(source: DatasetSource, split: Split) -> tuple[str, ...]:
    """The published image sets that a split is taken from; empty where the dataset does not say."""
    return tuple(source.corpora.get(split, ())) if isinstance(source, Ledgered) else ()


def seen(plugin: object, variant: Variant, settings: Settings) -> set[str]:
    """Names of the image sets that the public weights of a base or a refiner were trained on.

    Args:
        plugin: the base or refiner itself, made of the variant: what it says may depend on its parameters.
        variant: its parameters; a `Path` that is a file is looked up in the ledger, and a refiner is asked in turn.
    """
    declared = set(plugin.trained_on) if isinstance(plugin, PubliclyTrained) else set()
    weights = [value for value in variant.parameters.values() if isinstance(value, Path) and value.is_file()]
    known = _packaged() | settings.ledger
    nested = (seen(one.make(device="cpu", seed=0), one, settings) for one in variant.nested.values())
    return declared.union(*(known.get(_sha256(path, path.stat().st_mtime_ns), ()) for path in weights), *nested)


def overlap(tested_on: Iterable[str], trained_on: Iterable[str]) -> list[str]:
    """Those of ``tested_on`` that are in ``trained_on``, however they are spelt.

    >>> overlap(["DUTS-TE", "ECSSD"], ["duts te", "DUTS-TR"])
    ['DUTS-TE']
    """
    folded = {_folded(name) for name in trained_on}
    return [name for name in tested_on if _folded(name) in folded]


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


@cache
def _packaged() -> dict[str, list[str]]:
    table: dict[str, Any] = tomllib.loads(files("bench.execution").joinpath("ledger.toml").read_text(encoding="utf-8"))
    return {entry["sha256"]: entry["trained_on"] for entry in table.values()}


@cache
def _sha256(path: Path, stamp: int) -> str:
    """Of a file's contents; ``stamp`` tells a file from what it was before."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
