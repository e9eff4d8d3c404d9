"""Any network as an ONNX file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from bench.bases.adapters.inputs import ImageInput
from bench.bases.adapters.network_file import NetworkFile
from bench.contracts import UserError

TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}


class Onnx(NetworkFile):
    """A network in an ONNX file, run by onnxruntime on the CPU or on CUDA.

    Any opset that the installed onnxruntime knows. Its one input is 1x3xHxW or 1xHxWx3, float32, float16 or uint8, of
    fixed or free size; parameters as in `bench.bases.adapters.network_file.NetworkFile`.
    """

    requires = ("onnxruntime", "onnx")
    extra = "onnx"

    @staticmethod
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
                raise UserError(
                    f"no file {name}, which the network's weights are in", path, "put it beside the .onnx file"
                )
        return files

    def open(self) -> _Session:
        """See `NetworkFile.open`."""
        import onnxruntime

        self.referred_files(self.path)  # refuses what the runtime would follow
        providers = ["CUDAExecutionProvider"] if self.device == "cuda" else []
        if not set(providers).issubset(onnxruntime.get_available_providers()):
            raise UserError("onnxruntime has no CUDA here", "--device cuda", "pip install onnxruntime-gpu, or use cpu")
        try:
            session = onnxruntime.InferenceSession(str(self.path), providers=[*providers, "CPUExecutionProvider"])
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own.
            reason = " ".join(str(error).split())[-120:]
            raise UserError(f"no ONNX network, {reason}", self.path, "name a valid .onnx file") from None
        if len(session.get_inputs()) != 1:
            names = ", ".join(given.name for given in session.get_inputs())
            raise UserError(f"it has the inputs {names}", self.path, "name a network of one input, the image")
        return _Session(session, self.path)


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
    def __init__(self, session: Any, where: object) -> None:
        given = session.get_inputs()[0]
        self.input = ImageInput.of(given.shape, TYPES.get(given.type, given.type), where)
        self._session, self._input_name = session, given.name
        self._names = [output.name for output in session.get_outputs()]

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        values = self._session.run(self._names, {self._input_name: pixels.astype(self.input.dtype, copy=False)})
        return dict(zip(self._names, values, strict=True))
