"""Any refining network as a file of torch.export."""

from __future__ import annotations

from typing import ClassVar

from bench.network_files.program import Form
from bench.refiners.adapters.network_file import RefinerFile


class RefinerExported(RefinerFile):
    """A refining network in a ``.pt2`` file (``torch.export.save``), run by torch on the CPU or on CUDA.

    Each input is 1xCxHxW or 1xHxWxC, of the type and with the sizes it was exported with, fixed or free. Parameters as
    in `bench.refiners.adapters.network_file.RefinerFile`.

    A file with pickled objects or compiled libraries is refused, as by the base ``exported``. What is left is a program
    still: use only a file whose maker you trust.
    """

    form: ClassVar[Form] = "exported"
