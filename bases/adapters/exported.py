"""Any network as a file of torch.export."""

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
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from bench.bases.adapters.inputs import ImageInput
from bench.bases.adapters.network_file import NetworkFile
from bench.bases.adapters.torch_program import TorchProgram
from bench.contracts import UserError

PARTS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/.*|extra/.*|models/\w+\.json"
    r"|data/(weights|constants)/(\w+\.json|(weight|tensor)_\d+)|data/sample_inputs/\w+\.pt"
)
"""What a file of plain tensors holds. Custom objects (pickled), compiled libraries and older layouts are left out."""


class Exported(NetworkFile):
    """A network in a ``.pt2`` file (``torch.export.save``), run by torch on the CPU or on CUDA.

    Its one input is 1x3xHxW or 1xHxWx3, of the type and with the sizes it was exported with, fixed or free.
    Parameters as in `bench.bases.adapters.network_file.NetworkFile`.

    ``torch.export.load`` by itself unpickles objects and loads compiled libraries that a file may hold. A file with
    either is refused here. What is left is a program still: use only a file whose maker you trust.
    """

    def open(self) -> TorchProgram:
        """See `NetworkFile.open`."""
        fix = "write it again with torch.export.save"
        try:
            refused = unsafe_part(self.path)
            if refused:
                raise UserError(f"{refused} could run code", self.path, fix + ", its weights plain tensors")
            with _quiet(), self.path.open("rb") as stream:
                program = torch.export.load(stream)
            if self.device != "cpu":
                program = move_to_device_pass(program, self.device)
            return TorchProgram(program.module(), self._input(program), self.device)
        except UserError:
            raise
        except Exception as error:
            # A dozen types for a file that is not its own, or of another version of torch.
            reason = f"{type(error).__name__} {' '.join(str(error).split())[:120]}".strip()
            raise UserError(f"no exported network, {reason}", self.path, fix) from None

    def _input(self, program: ExportedProgram) -> ImageInput:
        names = program.graph_signature.user_inputs
        nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
        if len(nodes) != 1:
            raise UserError(f"it has {len(nodes)} inputs", self.path, "name a network of one input, the image")
        example = nodes[0].meta["val"]
        return ImageInput.of(tuple(example.shape), str(example.dtype).removeprefix("torch."), self.path)


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
