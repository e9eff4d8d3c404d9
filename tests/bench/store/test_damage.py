"""A bad disk: whatever of a store is not what was written is named in one line, and mended or refused.

Never are other numbers reported than those that were computed.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.contracts import UserError
from bench.store import Store, maps
from tests.bench.conftest import PLUGINS, Toy, install
from tests.bench.records import METRIC_COLUMNS

REFINERS = ["threshold", "morphology[tune=2]", "half"]


def run(toy: Toy, store: Path) -> RunResult:
    return bench.run(
        dataset=[toy.dataset], base=["counting"], refiner=REFINERS, store=store, device="cpu", engine="inline"
    )


def numbers(store: Path) -> dict[str, pd.DataFrame]:
    """What is read of the cells that can be."""
    opened, found = Store(store), {}
    for cell in opened.readable()[0]:
        if cell.status == "done":
            try:
                found[cell.refiner] = opened.records(cell)[["id", *METRIC_COLUMNS]]
            except UserError:
                continue
    return found


def same(found: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]) -> bool:
    return all(name in expected and frame.equals(expected[name]) for name, frame in found.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Toy, Path]]:
    """A store with everything in it that a run leaves, in small shards."""
    folder = tmp_path_factory.mktemp("whole")
    toy: Toy = Toy.__new__(Toy)
    with pytest.MonkeyPatch.context() as patch:
        from tests.bench import conftest

        toy = conftest.toy.__wrapped__(folder)  # type: ignore[attr-defined]
        patch.setattr(maps, "SHARD_MAPS", 2)
        install(
            folder / "site",
            "toy_plugins",
            PLUGINS,
            "[bench.refiners]\nhalf = toy_plugins:Half\n[bench.bases]\ncounting = toy_plugins:Counting\n",
            patch,
        )
        run(toy, folder / "store")
        yield toy, folder / "store"


def truncated(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


def emptied(file: Path, other: Path) -> None:
    file.write_bytes(b"")


def flipped(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def swapped(file: Path, other: Path) -> None:
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


def zeroed(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-40:] = bytes(40)
    file.write_bytes(content)


def deleted(file: Path, other: Path) -> None:
    file.unlink()


KINDS = {
    "manifest": "cells/*/*.json",
    "records": "cells/*/*.parquet",
    "maps": "bases/*/maps-*/*/*.safetensors",
    "finished.json": "refiners/*/finished.json",
    "what was learned": "refiners/*/t*.json*",
    "base": "bases/*/fit/finished.json",
}
DAMAGES: list[Callable[[Path, Path], None]] = [truncated, emptied, flipped, swapped, zeroed, deleted]
SILENT = {("manifest", deleted), ("maps", deleted), ("maps", swapped), ("base", swapped)}
"""What is no damage: a cell or a shard less, the other of two shards, the only base there is."""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_named_and_mended_and_never_other_numbers(
    whole: tuple[Toy, Path],
    kind: str,
    damage: Callable[[Path, Path], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    toy, store = whole
    expected = numbers(store)
    assert len(expected) == 4
    hurt = tmp_path / "hurt"
    shutil.copytree(store, hurt)
    files = sorted(hurt.glob(KINDS[kind]))
    damage(files[0], files[-1])
    assert same(numbers(hurt), expected)
    capsys.readouterr()
    code = main(["store", "check", "--store", str(hurt)])
    said = capsys.readouterr().out.splitlines()
    if (kind, damage) in SILENT:
        assert code == 0 and said == ["all of it is what was written"]
    else:
        assert code == 2 and all(line.startswith("damaged: ") for line in said) and 1 <= len(said) <= 2, said
    repaired = tmp_path / "repaired"
    shutil.copytree(hurt, repaired)
    assert main(["store", "check", "--repair", "--store", str(repaired)]) == 0
    assert main(["store", "check", "--store", str(repaired)]) == 0
    for mended in (hurt, repaired):
        assert not run(toy, mended).failures
        found = numbers(mended)
        assert found.keys() == expected.keys() and same(found, expected)
    assert main(["store", "check", "--store", str(repaired)]) == 0


@pytest.mark.parametrize("count", [150, pytest.param(1500, marks=pytest.mark.slow)])
def test_no_flipped_bit_is_silent(whole: tuple[Toy, Path], count: int, tmp_path: Path) -> None:
    _, store = whole
    expected = numbers(store)
    hurt = tmp_path / "hurt"
    shutil.copytree(store, hurt)
    # The log of a run is read for no number.
    files = [path for path in sorted(hurt.rglob("*")) if path.is_file() and path.name != "log.jsonl"]
    draw = random.Random(0)
    silent = []
    for _ in range(count):
        file = draw.choice(files)
        content = file.read_bytes()
        place, bit = draw.randrange(len(content)), draw.randrange(8)
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :])
        if not same(numbers(hurt), expected) or not bench.check_store(hurt):
            silent.append((file.relative_to(hurt), place, bit))
        file.write_bytes(content)
    assert silent == []
    assert not bench.check_store(hurt)


def test_one_row_less_and_another_cells_records_are_refused(whole: tuple[Toy, Path], tmp_path: Path) -> None:
    _, store = whole
    hurt = tmp_path / "hurt"
    shutil.copytree(store, hurt)
    first, second = sorted(hurt.glob("cells/*/*.parquet"))[:2]
    pd.read_parquet(first).iloc[:-1].to_parquet(first)
    shutil.copy(first, second)
    assert len(numbers(hurt)) == 2
    assert [damage.what for damage in bench.check_store(hurt)] == [
        "damaged records, they are not what was written, their digest differs"
    ] * 2


def test_what_a_killed_run_has_half_done_is_checked_too(
    whole: tuple[Toy, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flipped bit in the records so far: what follows it is computed again."""
    toy, store = whole
    hurt = tmp_path / "hurt"
    shutil.copytree(store, hurt)
    opened = Store(hurt)
    cell = next(cell for cell in opened.manifests() if cell.refiner == "half")
    lease = opened.leases.take(f"cell-{cell.key}")
    assert lease is not None
    from bench.runtime.sealed import sealed

    rows = opened.records(cell).to_dict("records")
    lines = [sealed({str(key): value for key, value in row.items()} | {"seconds": 77.0}) for row in rows]
    lines[1] = lines[1].replace('"mae": 0.', '"mae": 1.')
    (opened.workspace(lease) / "records.jsonl").write_text("".join(lines))
    opened.leases.give_back(lease)
    for name in opened.objects.tree("cells"):
        if cell.file in name:
            opened.objects.delete(name)
    run(toy, hurt)
    assert same(numbers(hurt), numbers(store)) and len(numbers(hurt)) == 4
    again = next(cell for cell in opened.manifests() if cell.refiner == "half")
    assert (opened.records(again).seconds == 77.0).tolist() == [True, False]
