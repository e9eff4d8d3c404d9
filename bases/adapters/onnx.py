"""Any network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.bases.adapters.network_file import NetworkFile
from bench.network_files.onnx import referred_files
from bench.network_files.program import Form


class Onnx(NetworkFile):
    """A network in an ONNX file, run by onnxruntime on the CPU or on CUDA.

    Any opset that the installed onnxruntime knows. Its one input is 1x3xHxW or 1xHxWx3, float32, float16 or uint8, of
    fixed or free size; parameters as in `bench.bases.adapters.network_file.NetworkFile`.
    """

    requires = ("onnxruntime", "onnx")
    extra = "onnx"
    form: ClassVar[Form] = "onnx"

    @staticmethod
    def referred_files(path: Path) -> dict[str, Path]:
        """The files with the network's tensors that are not in its own: `bench.contracts.RefersToFiles`."""
        return referred_files(path)
