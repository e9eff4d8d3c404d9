"""A network in a TorchScript file (``torch.jit.save``)."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from bench.contracts import UserError
from bench.network_files.inputs import FileInput
from bench.network_files.torch_program import TorchProgram


def open_torchscript(path: Path, device: str) -> TorchProgram:
    """Read it onto the device. Its inputs are of any size, and of the floating-point type of its own weights.

    No Python object is unpickled, but the file is a program and runs as one.

    Raises:
        UserError: it is no such file, or takes what is no tensor.
    """
    try:
        with warnings.catch_warnings():
            # torch calls TorchScript deprecated; the files that exist are to be read all the same.
            warnings.simplefilter("ignore", FutureWarning)
            module = torch.jit.load(path, map_location=device).eval()
        arguments = module.forward.schema.arguments[1:]
    except Exception as error:
        # RuntimeError, ValueError and others, for a file that is not its own.
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"no TorchScript network, {reason}", path, "name a file of torch.jit.save") from None
    weights = next((value for value in module.parameters() if value.is_floating_point()), torch.zeros(()))
    dtype = str(weights.dtype).removeprefix("torch.")
    needed = [argument for argument in arguments if not argument.has_default_value()]
    for argument in needed:
        if str(argument.type) != "Tensor":
            said = f"its input {argument.name} is of type {argument.type}"
            raise UserError(said, path, "export it again with a tensor for each input")
    return TorchProgram(module, [FileInput(argument.name, (0, 0, 0, 0), dtype) for argument in needed], device)
