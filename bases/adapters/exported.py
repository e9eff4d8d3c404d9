"""Any network as a file of torch.export."""

from __future__ import annotations

from typing import ClassVar

from bench.bases.adapters.network_file import NetworkFile
from bench.network_files.program import Form


class Exported(NetworkFile):
    """A network in a ``.pt2`` file (``torch.export.save``), run by torch on the CPU or on CUDA.

    Its one input is 1x3xHxW or 1xHxWx3, of the type and with the sizes it was exported with, fixed or free.
    Parameters as in `bench.bases.adapters.network_file.NetworkFile`.

    ``torch.export.load`` by itself unpickles objects and loads compiled libraries that a file may hold. A file with
    either is refused here. What is left is a program still: use only a file whose maker you trust.
    """

    form: ClassVar[Form] = "exported"
