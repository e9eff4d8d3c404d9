"""`refine`: a refiner on a folder of images and maps that belong to no dataset and have no masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image as PillowImage

from bench.commands.refined import Made, Record, Task, Work, file_digest
from bench.config import Device, Grid, Settings, load, unknown
from bench.contracts import ProbabilityMap, UserError, read_only
from bench.images import IMAGE_SUFFIXES, MAP_SUFFIXES, MapFiles, expecting, read_image, stored_size, to_uint16
from bench.images.decode import ARRAY_SUFFIXES
from bench.plugins.calls import calling
from bench.plugins.outputs import taken
from bench.plugins.trained import identity_of, ready_refiner
from bench.runtime.crew import crew
from bench.runtime.environment import pick_device
from bench.runtime.files import OUT, sweep, writing
from bench.runtime.folders import make_out
from bench.runtime.names import match, need_partners, side
from bench.runtime.progress import note, track

MapFormat = Literal["like", "png8", "png16", "npy"]
"""Of a refined map: its map's, an 8- or 16-bit PNG, or float32 NPY."""


def refine(
    *,
    refiner: str,
    images: Path,
    maps: Path,
    out: Path,
    checkpoint: Path | None = None,
    image_pattern: str = "",
    map_pattern: str = "",
    device: Device | None = None,
    format: MapFormat = "like",
    map_scale: float | None = None,
    workers: int | None = None,
    force: bool = False,
    config: Path | None = None,
) -> int:
    """Refine a folder of maps, image by image; of images and maps, no more are in memory than there are workers.

    Images and maps belong together by their path in the folder without its suffix, see `bench.runtime.names`. A refined
    map gets its map's path in ``out``, with the suffix of its format. ``out`` keeps a record of what made its maps, see
    `bench.commands.refined`: those that this refiner made of these images and maps are left as they are, so that the
    same call goes on where one was stopped; those whose image or map has changed are made anew. The same call on other
    machines, or again on this one, does its share.

    Args:
        refiner: ``name[key=value,...]``.
        images: RGB images, each of its map's size, or one file; those without a map are left out.
        maps: 8/16-bit PNG or NPY maps, see `bench.images.read_map`, or one file. Of two single files the names do not
            matter.
        out: a folder, made where it is missing; neither ``images`` nor ``maps`` nor below ``maps``.
        checkpoint: the trained refiner: a weights file or a run's folder, see `bench.plugins.trained.ready_refiner`.
        image_pattern, map_pattern: of the names, with one ``*`` for the part that both share: ``*_pred``.
        format: of the refined maps. ``like`` keeps the map's: an 8-bit PNG stays one, as does a 16-bit one; NPY
            becomes float32 NPY, and pictures of other formats PNG, with 16 bits where they had more than 8.
        map_scale: the value of the maps that stands for probability 1; None finds out, see `bench.images.maps`.
        workers: processes that work side by side, one native thread each; with one of them the refiner works here,
            with what threads it likes. None takes bench.toml's.
        force: refine all maps, those that ``out`` holds too, whoever made them.
        device, config: as `bench.commands.run.run`.

    Returns:
        How many maps were written.

    Raises:
        UserError: folders or files do not fit together or cannot be read or written; ``out`` holds maps of another
            refiner, other parameters, another checkpoint or format, or files of unknown origin, and ``force`` is not
            set; or as `ready_refiner`.
    """
    if format not in get_args(MapFormat):
        raise unknown("format", format, get_args(MapFormat), "--format")
    options = Grid.of(refiner=[refiner], device=device, workers=workers)
    settings = load(config)
    chosen = options.over(settings.defaults)
    image_files = side(images, IMAGE_SUFFIXES, "images", "--images", "--image-pattern", image_pattern)
    map_files = side(maps, MAP_SUFFIXES, "maps", "--maps", "--map-pattern", map_pattern)
    found = match(image_files, map_files)
    need_partners(found, image_files, map_files)
    where = pick_device(chosen.device)
    root = maps.parent if map_files.single else maps
    tasks = [
        Task(image, file, out / _name(file.relative_to(root), format))
        for _, (image, file) in sorted(found.pairs.items())
    ]
    _check_out(out, images, maps, tasks)
    for task in tasks:
        _check_size(task, stored_size(task.map), stored_size(task.image))
    coded = MapFiles([task.map for task in tasks], map_scale)
    work = Work(*identity_of(refiner, checkpoint, settings), format, coded.said())
    record = Record(out, work, force=force)
    todo = record.todo(tasks)
    make = partial(_Refining, refiner, checkpoint, settings, where, format, coded)
    workers, written = min(chosen.workers, len(todo)), 0
    # The record is closed when no worker writes any more, and opened when all of them could be made.
    with ExitStack() as recording, crew(make, workers) as each:
        make_out(out)
        note(f"maps: {coded.said()}")
        sweep({task.target for task in tasks})
        if found.first_left:
            total = len(tasks) + len(found.first_left)
            note(f"{len(tasks)} of {total} images have a map; the others are left out")
        if len(todo) < len(tasks):
            kept = len(tasks) - len(todo)
            note(f"{kept} of {len(tasks)} maps are in {out} and left as they are (--force redoes them)")
        recording.enter_context(record.open(todo))
        # Of several workers each has a map in hand and one that waits.
        shares = record.shares(todo, least=2 * workers if workers > 1 else 1)
        for made in track(_shared_out(shares, record, each), "refine", total=len(todo)):
            record.done(made)
            written += 1
    return written


def _shared_out(
    shares: Iterable[list[Task]], record: Record, each: Callable[[Iterable[Task]], Iterator[Made]]
) -> Iterator[Made]:
    """The tasks done, each recorded as begun when it is handed out."""

    def handed_out(tasks: list[Task]) -> Iterator[Task]:
        for task in tasks:
            record.begun(task)
            yield task

    for share in shares:
        yield from each(handed_out(share))


class _Refining:
    """Refines maps, file to file."""

    def __init__(
        self,
        spec: str,
        checkpoint: Path | None,
        settings: Settings,
        device: str,
        format: MapFormat,
        maps: MapFiles,
    ) -> None:
        self.spec, self.format, self.maps = spec, format, maps
        self.refiner = ready_refiner(spec, checkpoint, settings, device)

    def __call__(self, task: Task) -> Made:
        # What is recorded is what is read: a file that changes just now is refused.
        of_image, of_map = file_digest(task.image), file_digest(task.map)
        with expecting({task.image: bytes.fromhex(of_image), task.map: bytes.fromhex(of_map)}):
            probs = read_only(self.maps.read(task.map))
            image = read_only(read_image(task.image, like=probs.shape))
        if image.shape[:2] != probs.shape:
            raise _of_other_size(task, probs.shape, image.shape)
        where = f"{self.spec}: {task.map}"
        with calling(where, image, probs):
            returned = self.refiner.refine([image], [probs])
        (refined,) = taken(returned, [probs.shape], where)
        made = _write(refined, task.target, _format_of(task.map) if self.format == "like" else self.format)
        return Made(task.target, of_image, of_map, made)


def _check_out(out: Path, images: Path, maps: Path, tasks: Sequence[Task]) -> None:
    """Not among the inputs: a refined map would replace one, or be refined the next time."""
    real = out.resolve()
    mixes = real == images.resolve() or (maps.is_dir() and real.is_relative_to(maps.resolve()))
    if images.is_file() or maps.is_file():
        inputs = {file.resolve() for task in tasks for file in (task.image, task.map)}
        mixes = mixes or any(task.target.resolve() in inputs for task in tasks)
    if mixes:
        raise UserError("the output would mix with the input", out, "name another folder with --out")


def _name(path: Path, format: MapFormat) -> Path:
    """The path with the suffix that the format wants; one that it has already is kept as it is spelt."""
    kind = ("npy" if path.suffix.lower() in ARRAY_SUFFIXES else "png") if format == "like" else format
    suffix = f".{kind.rstrip('0123456789')}"
    return path if path.suffix.lower() == suffix else path.with_suffix(suffix)


def _format_of(map_file: Path) -> MapFormat:
    if map_file.suffix.lower() in ARRAY_SUFFIXES:
        return "npy"
    with PillowImage.open(map_file) as picture:
        return "png16" if picture.mode.startswith(("I", "F")) else "png8"


def _write(probs: ProbabilityMap, target: Path, format: MapFormat) -> str:
    """Write a map; the file's digest."""
    with writing(target, OUT) as temporary:
        with temporary.open("wb") as stream:
            if format == "npy":
                np.save(stream, probs)
            else:
                codes = to_uint16(probs) if format == "png16" else to_uint8(probs)
                PillowImage.fromarray(codes).save(stream, format="PNG")
        return file_digest(temporary)


def to_uint8(probs: ProbabilityMap) -> np.ndarray:
    """uint8 codes of a map, rounded to nearest: the error is at most 1/510, and ``>= 0.5`` keeps its meaning.

    0.5 itself lies between the codes 127 and 128; it rounds to the even one, 128. All below it rounds to 127.
    """
    return np.rint(np.asarray(probs, np.float64) * 255.0).astype(np.uint8)


def _check_size(task: Task, of_map: tuple[int, int], stored: tuple[int, int]) -> None:
    """By the headers: before any file, however large, takes memory. An image may be turned by its EXIF."""
    if of_map not in (stored, stored[::-1]):
        raise _of_other_size(task, of_map, stored)


def _of_other_size(task: Task, of_map: tuple[int, ...], of_image: tuple[int, ...]) -> UserError:
    sizes = [f"{size[1]}x{size[0]}" for size in (of_map, of_image)]
    said = f"the map is {sizes[0]} and its image {task.image} is {sizes[1]} pixels (width x height)"
    return UserError(said, task.map, "resize the map to the image")
