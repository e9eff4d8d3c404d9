"""A network in an ONNX file, run by onnxruntime on the CPU or on CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from bench.contracts import UserError
from bench.network_files.inputs import FileInput

TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def open_onnx(path: Path, device: str) -> _Session:
    """Read it onto the device; on CUDA, what of it has no kernel there runs on the CPU.

    Raises:
        UserError: it is no ONNX network, or would read weights from elsewhere; or CUDA was asked for, and onnxruntime
            has it not, or cannot begin it, where it would go on by the CPU.
    """
    import onnxruntime

    referred_files(path)  # refuses what the runtime would follow
    providers = [CUDA, CPU] if device == "cuda" else [CPU]
    check_device(device)
    if device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA's libraries that came with torch
    try:
        session = onnxruntime.InferenceSession(str(path), providers=providers)
    except Exception as error:
        # onnxruntime's exceptions share no base class of their own.
        reason = " ".join(str(error).split())[-120:]
        raise UserError(f"no ONNX network, {reason}", path, "name a valid .onnx file") from None
    if not set(providers).issubset(session.get_providers()):
        fix = "install the CUDA and cuDNN that this onnxruntime-gpu was built for, or use cpu"
        raise UserError("onnxruntime cannot begin CUDA here, and would run on the CPU", "--device cuda", fix)
    return _Session(session)


def check_device(device: str) -> None:
    """Raises UserError where CUDA is asked for, and the onnxruntime that is installed was built without."""
    import onnxruntime

    if device == "cuda" and CUDA not in onnxruntime.get_available_providers():
        raise UserError("onnxruntime has no CUDA here", "--device cuda", "pip install onnxruntime-gpu, or use cpu")


class OnnxFile:
    """What a plug-in that runs an ONNX file says of itself, base or refiner."""

    requires: tuple[str, ...] = ("onnxruntime", "onnx")
    extra: str = "onnx"

    @staticmethod
    def referred_files(path: Path) -> dict[str, Path]:
        """The files with the network's tensors that are not in its own: `bench.contracts.RefersToFiles`."""
        return referred_files(path)


def referred_files(path: Path) -> dict[str, Path]:
    """The files with the network's tensors that are not in its own: `bench.contracts.RefersToFiles`."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        # Whatever protobuf and onnx raise for a file that is none of theirs.
        reason = " ".join(str(error).split())[-120:]
        raise UserError(f"no ONNX network, {reason}", path, "name a valid .onnx file") from None
    names = {ExternalDataInfo(tensor).location for tensor in _tensors(model) if uses_external_data(tensor)}
    files = {name: path.parent / name for name in names}
    for name, file in files.items():
        if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in re.split(r"[/\\]", name):
            # Whoever made the network would choose which file of this machine is read.
            fix = "name a network whose weights lie beside it"
            raise UserError(f"the network's weights would be read from elsewhere, {name!a}", path, fix)
        if not file.is_file():
            raise UserError(f"no file {name}, which the network's weights are in", path, "put it beside the .onnx file")
    return files


def _tensors(message: Any) -> Iterator[Any]:
    """All tensors in a protobuf message: of the graph, of the graphs inside its nodes and of its functions."""
    from onnx import TensorProto

    for _, value in message.ListFields():
        for part in [value] if hasattr(value, "ListFields") else value if isinstance(value, Iterable) else ():
            if isinstance(part, TensorProto):
                yield part
            elif hasattr(part, "ListFields"):
                yield from _tensors(part)


class _Session:
    """`bench.network_files.program.Program`."""

    def __init__(self, session: Any) -> None:
        given = session.get_inputs()
        self.inputs = [FileInput.of(one.name, one.shape, TYPES.get(one.type, one.type)) for one in given]
        self._session, self._names = session, [output.name for output in session.get_outputs()]

    def __call__(self, *tensors: np.ndarray) -> dict[str, np.ndarray]:
        given = zip(self.inputs, tensors, strict=True)
        values = self._session.run(
            self._names, {wanted.name: tensor.astype(wanted.dtype, copy=False) for wanted, tensor in given}
        )
        return dict(zip(self._names, values, strict=True))
