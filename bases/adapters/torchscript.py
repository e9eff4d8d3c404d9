"""Any network as a TorchScript file."""

from __future__ import annotations

import warnings

import torch

from bench.bases.adapters.inputs import ImageInput
from bench.bases.adapters.network_file import NetworkFile
from bench.bases.adapters.torch_program import TorchProgram
from bench.contracts import UserError


class TorchScript(NetworkFile):
    """A network in a TorchScript file (``torch.jit.save``), run by torch on the CPU or on CUDA.

    Its forward takes 1x3xHxW of the floating-point type of its own weights. The file does not say its size: without
    ``size`` images go in at their own. Parameters as in `bench.bases.adapters.network_file.NetworkFile`.

    No Python object is unpickled, but the file is a program and runs as one: use only a file whose maker you trust.
    """

    def open(self) -> TorchProgram:
        """See `NetworkFile.open`."""
        try:
            with warnings.catch_warnings():
                # torch calls TorchScript deprecated; the files that exist are to be read all the same.
                warnings.simplefilter("ignore", FutureWarning)
                module = torch.jit.load(self.path, map_location=self.device).eval()
        except Exception as error:
            # RuntimeError, ValueError and others, for a file that is not its own.
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"no TorchScript network, {reason}", self.path, "name a file of torch.jit.save") from None
        weights = next((value for value in module.parameters() if value.is_floating_point()), torch.zeros(()))
        return TorchProgram(module, ImageInput(dtype=str(weights.dtype).removeprefix("torch.")), self.device)
