"""`refine`: a refiner on a folder of images and maps that belong to no dataset and have no masks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as PillowImage

from bench.checks import check_output
from bench.config import Settings, load
from bench.contracts import ProbabilityMap, Refiner, UserError
from bench.environment import pick_device
from bench.files import replacing
from bench.folders import files_by_id, make_out
from bench.images import IMAGE_SUFFIXES, MAP_SUFFIXES, read_image, read_map, to_uint16
from bench.progress import note, track
from bench.registry import resolve


def refine(
    *,
    refiner: str,
    images: Path,
    maps: Path,
    out: Path,
    checkpoint: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    force: bool = False,
    config: Path | None = None,
) -> int:
    """Refine a folder of maps, image by image; memory does not grow with their number.

    Images and maps belong together by their path in the folder without its suffix. A refined map gets its map's
    path in ``out``, and its kind: an 8-bit PNG stays one, as does a 16-bit one; NPY becomes float32 NPY. Maps that
    ``out`` already holds are left as they are, so that the same call goes on where one was stopped.

    Args:
        refiner: ``name[key=value,...]``.
        images: RGB images, each of its map's size; those without a map are left out.
        maps: 8/16-bit PNG or NPY maps, see `bench.images.read_map`.
        out: a folder, made where it is missing; neither ``images`` nor ``maps`` nor below ``maps``.
        checkpoint: the trained refiner's weights; sets its parameter ``weights``.
        force: refine all maps, those that ``out`` holds too.

    Returns:
        How many maps were written.

    Raises:
        UserError: folders or files do not fit together or cannot be read or written, or as `ready_refiner`.
    """
    settings = load(config)
    image_files, map_files = _pairs(images, maps)
    where = pick_device(device or settings.defaults.device)
    ready = ready_refiner(refiner, checkpoint, settings, where)
    _make_out(out, images, maps)
    if len(map_files) < len(image_files):
        note(f"{len(map_files)} of {len(image_files)} images have a map; the others are left out")
    targets = {sample_id: out / file.relative_to(maps) for sample_id, file in map_files.items()}
    todo = [sample_id for sample_id in sorted(targets) if force or not targets[sample_id].is_file()]
    if len(todo) < len(targets):
        note(
            f"{len(targets) - len(todo)} of {len(targets)} maps are in {out} and left as they are (--force redoes them)"
        )
    for sample_id in track(todo, "refine"):
        image_file, map_file = image_files[sample_id], map_files[sample_id]
        image, probs = read_image(image_file), read_map(map_file)
        if image.shape[:2] != probs.shape:
            raise UserError(
                f"the map is {_size(probs)} and its image {image_file} is {_size(image)} pixels (width x height)",
                map_file,
                "resize the map to the image",
            )
        (refined,) = ready.refine([image], [probs])
        check_output(refined, probs.shape, f"{refiner}: {map_file}")
        _write_like(map_file, targets[sample_id], refined)
    return len(todo)


def ready_refiner(spec: str, checkpoint: Path | None, settings: Settings, device: str) -> Refiner:
    """Make a refiner that has nothing left to learn.

    Raises:
        UserError: as `bench.registry.resolve`; or the refiner still needs training, or needs the ground truth.
    """
    if checkpoint is not None and not checkpoint.is_file():
        raise UserError("no such checkpoint", checkpoint, "name the weights file with --checkpoint")
    variant = resolve("refiner", spec, settings, weights=checkpoint)
    refiner: Refiner = variant.make(device=device, seed=0)
    if refiner.uses_ground_truth:
        raise UserError(f"{spec} needs the ground truth", "--refiner", "name a refiner that does without")
    if refiner.trainable and "weights" not in variant.parameters:
        raise UserError(f"{spec} learns from masks and takes no checkpoint", "--refiner", "use it with 'bench run'")
    if refiner.trainable:
        raise UserError(
            f"{spec} is not trained",
            "--refiner",
            "train it with 'bench run', then give --checkpoint STORE/refiners/KEY/weights.safetensors",
        )
    return refiner


def _pairs(images: Path, maps: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    image_files = files_by_id(images, IMAGE_SUFFIXES, "--images")
    map_files = files_by_id(maps, MAP_SUFFIXES, "--maps")
    strangers = sorted(map_files.keys() - image_files.keys())
    if strangers:
        raise UserError(
            f"{len(strangers)} maps have no image, e.g. {strangers[0]}", maps, "give both the same file names"
        )
    return image_files, map_files


def _make_out(out: Path, images: Path, maps: Path) -> None:
    """Make the folder, but not among the inputs: a refined map would replace one, or be refined the next time."""
    if out.resolve() == images.resolve() or out.resolve().is_relative_to(maps.resolve()):
        raise UserError("the output would mix with the input", out, "name another folder with --out")
    make_out(out)


def _write_like(map_file: Path, target: Path, probs: ProbabilityMap) -> None:
    """Write a map in the form that ``map_file`` has."""
    try:
        with replacing(target) as temporary, temporary.open("wb") as stream:
            if map_file.suffix.lower() == ".npy":
                np.save(stream, probs)
            else:
                codes = to_uint16(probs) if _has_16_bits(map_file) else to_uint8(probs)
                PillowImage.fromarray(codes).save(stream, format="PNG")
    except OSError as error:
        raise UserError(f"cannot write, {error.strerror or error}", target, "free the disk or correct --out") from None


def _has_16_bits(png: Path) -> bool:
    with PillowImage.open(png) as picture:
        return picture.mode.startswith("I")


def to_uint8(probs: ProbabilityMap) -> np.ndarray:
    """uint8 codes of a map, rounded to nearest: the error is at most 1/510, and ``>= 0.5`` keeps its meaning.

    0.5 itself lies between the codes 127 and 128; it rounds to the even one, 128. All below it rounds to 127.
    """
    return np.rint(np.asarray(probs, np.float64) * 255.0).astype(np.uint8)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
