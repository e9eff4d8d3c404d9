"""`predict`: a base's maps, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.config import Device, Grid, load, unknown
from bench.contracts import SPLITS, Split, UserError
from bench.datasets.subset import Subset
from bench.execution.opened import Opened
from bench.images import is_whole, write_map
from bench.plugins.calls import arrays_of, calling
from bench.plugins.outputs import taken
from bench.registry import load_base, load_dataset
from bench.runtime.environment import pick_device
from bench.runtime.files import sweep
from bench.runtime.folders import make_out
from bench.runtime.names import check_id
from bench.runtime.progress import track


def predict(
    *,
    dataset: str,
    base: str,
    out: Path,
    splits: Sequence[Split] = SPLITS,
    seed: int = 0,
    device: Device | None = None,
    limit: int | None = None,
    config: Path | None = None,
) -> int:
    """Write a base's maps as 16-bit PNG, one a sample: what ``bench score`` and ``maps[path=...]`` read.

    Maps that ``out`` already holds whole are not computed again. Bases that need training are for `run`.

    Args:
        dataset, base: ``name[key=value,...]``.
        out: a folder, made where it is missing; a map is named by its sample's id.
        splits: whose samples.
        seed: of all that is drawn.
        device, limit, config: as `run`.

    Returns:
        The number of maps in ``out`` for the chosen splits.

    Raises:
        UserError: as `run`; or the base has no checkpoint, an id can be no file's name, or a map cannot be written.
    """
    options = Grid.of(dataset=[dataset], base=[base], seed=[seed], device=device, limit=limit)
    if unknown_splits := [split for split in splits if split not in SPLITS]:
        raise unknown("split", unknown_splits[0], SPLITS, "--split")
    settings = load(config)
    chosen = options.over(settings.defaults)
    network = load_base(base, settings=settings, device=pick_device(chosen.device), seed=chosen.seed[0])
    if network.trainable:
        raise UserError(
            f"{base} has no checkpoint", "--base", "give one with weights=FILE, or train it with 'bench run'"
        )
    opened = Opened(load_dataset(dataset, settings=settings), chosen.limit)
    samples_of = opened.limited(opened.covered(network))
    targets = {sample_id: out / f"{sample_id}.png" for split in splits for sample_id in samples_of[split].ids}
    for sample_id in targets:
        check_id(sample_id, f"--dataset {dataset}")
    make_out(out)
    sweep({*targets.values()})
    count = 0
    for split in splits:
        samples = samples_of[split]
        missing = [sample_id for sample_id in samples.ids if not is_whole(targets[sample_id])]
        todo = Subset(samples, missing)
        for index in track(range(len(todo)), f"{split} maps of {base}"):
            sample = todo[index]
            where = f"{base}: {sample.id}"
            with calling(where, *arrays_of(sample)):
                returned = network.predict([sample])
            (probs,) = taken(returned, [sample.mask.shape], where)
            write_map(targets[sample.id], probs)
        count += len(samples)
    return count
