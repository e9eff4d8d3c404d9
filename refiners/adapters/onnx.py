"""Any refining network as an ONNX file."""

from __future__ import annotations

from typing import ClassVar

from bench.network_files.onnx import OnnxFile
from bench.network_files.program import Form
from bench.refiners.adapters.network_file import RefinerFile


class RefinerOnnx(OnnxFile, RefinerFile):
    """A refining network in an ONNX file, run by onnxruntime on the CPU or on CUDA.

    Any opset that the installed onnxruntime knows. Each input is 1xCxHxW or 1xHxWxC, float32, float16 or uint8, of
    fixed or free size; parameters as in `bench.refiners.adapters.network_file.RefinerFile`.
    """

    form: ClassVar[Form] = "onnx"
