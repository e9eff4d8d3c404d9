"""Any refining network as a TorchScript file."""

from __future__ import annotations

from typing import ClassVar

from bench.network_files.program import Form
from bench.refiners.adapters.network_file import RefinerFile


class RefinerTorchScript(RefinerFile):
    """A refining network in a TorchScript file (``torch.jit.save``), run by torch on the CPU or on CUDA.

    Its forward takes 1xCxHxW of the floating-point type of its own weights. The file says neither sizes nor channels:
    ``inputs`` has to, and without ``size`` image and map go in at their own. Parameters as in
    `bench.refiners.adapters.network_file.RefinerFile`.

    No Python object is unpickled, but the file is a program and runs as one: use only a file whose maker you trust.
    """

    form: ClassVar[Form] = "torchscript"
