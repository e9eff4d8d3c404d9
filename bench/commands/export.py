"""`export`: a trained refiner as a file that runs without this project."""

from __future__ import annotations

from pathlib import Path

from bench.config import load
from bench.contracts import Exportable, UserError
from bench.plugins.trained import ready_refiner


def export(*, refiner: str, onnx: Path, checkpoint: Path | None = None, config: Path | None = None) -> None:
    """Write a trained refiner as one ONNX file, which takes a batch of any size.

    Args:
        refiner: ``name[key=value,...]``.
        onnx: the file; an older one is replaced once the new one is whole and checked.
        checkpoint: the trained refiner, see `bench.plugins.trained.ready_refiner`.
        config: settings instead of ``./bench.toml``.

    Raises:
        UserError: as `ready_refiner`; or the refiner has no ONNX form, or the file cannot be written.
    """
    ready = ready_refiner(refiner, checkpoint, load(config), "cpu")
    if not isinstance(ready, Exportable):
        raise UserError(f"{refiner} cannot be written as ONNX", "--refiner", "name a refiner that is a network")
    if onnx.is_dir():
        raise UserError("a folder", onnx, "name a file with --onnx")
    try:
        onnx.parent.mkdir(parents=True, exist_ok=True)
        ready.export_onnx(onnx)
    except OSError as error:
        raise UserError(f"cannot write, {error.strerror or error}", onnx, "name a writable file with --onnx") from None
