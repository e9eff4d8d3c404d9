"""Any network as a TorchScript file."""

from __future__ import annotations

from typing import ClassVar

from bench.bases.adapters.network_file import NetworkFile
from bench.network_files.program import Form


class TorchScript(NetworkFile):
    """A network in a TorchScript file (``torch.jit.save``), run by torch on the CPU or on CUDA.

    Its forward takes 1x3xHxW of the floating-point type of its own weights. The file does not say its size: without
    ``size`` images go in at their own. Parameters as in `bench.bases.adapters.network_file.NetworkFile`.

    No Python object is unpickled, but the file is a program and runs as one: use only a file whose maker you trust.
    """

    form: ClassVar[Form] = "torchscript"
