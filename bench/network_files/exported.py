"""A network in a ``.pt2`` file (``torch.export.save``)."""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from bench.contracts import UserError
from bench.network_files.inputs import FileInput
from bench.network_files.torch_program import TorchProgram

PARTS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/.*|extra/.*|models/\w+\.json"
    r"|data/(weights|constants)/(\w+\.json|(weight|tensor)_\d+)|data/sample_inputs/\w+\.pt"
)
"""What a file of plain tensors holds. Custom objects (pickled), compiled libraries and older layouts are left out."""


def open_exported(path: Path, device: str) -> TorchProgram:
    """Read it onto the device.

    ``torch.export.load`` by itself unpickles objects and loads compiled libraries that a file may hold. A file with
    either is refused here. What is left is a program still.

    Raises:
        UserError: it is no such file, holds what would be unpickled or linked, or takes what is no tensor.
    """
    fix = "write it again with torch.export.save"
    try:
        refused = unsafe_part(path)
        if refused:
            raise UserError(f"{refused} could run code", path, fix + ", its weights plain tensors")
        with _quiet(), path.open("rb") as stream:
            program = torch.export.load(stream)
        if device != "cpu":
            program = move_to_device_pass(program, device)
        return TorchProgram(program.module(), _inputs(program, path), device)
    except UserError:
        raise
    except Exception as error:
        # A dozen types for a file that is not its own, or of another version of torch.
        reason = f"{type(error).__name__} {' '.join(str(error).split())[:120]}".strip()
        raise UserError(f"no exported network, {reason}", path, fix) from None


def _inputs(program: ExportedProgram, path: Path) -> list[FileInput]:
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    found = []
    for node in nodes:
        example = node.meta.get("val")
        if not isinstance(example, Tensor):
            said = f"its input {node.name} is a {type(example).__name__}"
            raise UserError(said, path, "export it again with a tensor for each input")
        dtype = str(example.dtype).removeprefix("torch.")
        found.append(FileInput.of(node.name, tuple(example.shape), dtype))
    return found


def unsafe_part(path: Path) -> str:
    """The first part of a ``.pt2`` file that loading it would unpickle or link; "" where there is none.

    E.g. ``"unet/data/constants/custom_obj_0"``.

    Raises:
        zipfile.BadZipFile, ValueError: the file is no such archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.namelist()
        names = [name.partition("/")[2] for name in entries]
        if "archive_format" not in names or len(set(names)) != len(names):
            raise ValueError("not a .pt2 archive")
        for entry, name in zip(entries, names, strict=True):
            if not PARTS.fullmatch(name):
                return entry
            if name.startswith("data/") and name.endswith(".json"):
                payloads = json.loads(archive.read(entry))["config"].values()
                if any(payload["use_pickle"] for payload in payloads):
                    return entry
            if name.startswith("data/sample_inputs/") and not _plain(archive.read(entry)):
                return entry
    return ""


def _plain(pickled: bytes) -> bool:
    """Whether torch reads it without running code."""
    try:
        torch.load(io.BytesIO(pickled), "cpu", weights_only=True)
    except Exception:
        # Whatever it is that makes it unreadable: torch would try again with the full unpickler.
        return not pickled
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the traceback that torch logs before it raises."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
