"""Any network as an ONNX file."""

from __future__ import annotations

from typing import ClassVar

from bench.bases.adapters.network_file import NetworkFile
from bench.network_files.onnx import OnnxFile
from bench.network_files.program import Form


class Onnx(OnnxFile, NetworkFile):
    """A network in an ONNX file, run by onnxruntime on the CPU or on CUDA.

    Any opset that the installed onnxruntime knows. Its one input is 1x3xHxW or 1xHxWx3, float32, float16 or uint8, of
    fixed or free size; parameters as in `bench.bases.adapters.network_file.NetworkFile`.
    """

    form: ClassVar[Form] = "onnx"
