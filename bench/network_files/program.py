"""A network's file, opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from bench.contracts import UserError
from bench.network_files.inputs import FileInput

Form = Literal["onnx", "torchscript", "exported"]


class Program(Protocol):
    """An opened file."""

    @property
    def inputs(self) -> Sequence[FileInput]:
        """In the file's order."""
        ...

    def __call__(self, *tensors: np.ndarray) -> Mapping[str, np.ndarray]:
        """Outputs by name, in the file's order, of one image: a float32 or uint8 tensor for each of the inputs."""
        ...


def opened(path: Path, form: Form, device: str) -> Program:
    """Read a network's file onto the device.

    Raises:
        UserError: it is missing, no such network, unsafe to read, or cannot run there.
    """
    if not path.is_file():
        raise UserError("no such file", path, "correct path=")
    if form == "onnx":
        from bench.network_files.onnx import open_onnx

        return open_onnx(path, device)
    if form == "torchscript":
        from bench.network_files.torchscript import open_torchscript

        return open_torchscript(path, device)
    from bench.network_files.exported import open_exported

    return open_exported(path, device)


def check_runtime(form: Form, device: str) -> None:
    """Raises UserError where what runs such files cannot use the device."""
    if form == "onnx":
        from bench.network_files.onnx import check_device

        check_device(device)


def answered(program: Program, tensors: Sequence[np.ndarray], where: object) -> Mapping[str, np.ndarray]:
    """What the network gives for the tensors. Raises UserError where it does not run on them."""
    try:
        return program(*tensors)
    except Exception as error:
        # Whatever a foreign network raises: the runtimes' exceptions share no class.
        reason = " ".join(str(error).split())[-160:]
        given = " and ".join(f"{tensor.dtype} {tensor.shape}" for tensor in tensors)
        said = f"the network does not run on {given}, {reason}"
        raise UserError(said, where, "correct size= to what it takes") from None


class Reopens:
    """Goes to another process without what it has read from files, which that one reads itself."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the cached properties: a runtime's objects cannot go."""
        read = {name for kind in type(self).__mro__ for name, one in vars(kind).items() if type(one) is cached_property}
        return {name: value for name, value in self.__dict__.items() if name not in read}


def at_least(least: int, **numbers: int) -> None:
    """Raises UserError for the first of the parameters that is smaller."""
    for name, value in numbers.items():
        if value < least:
            raise UserError(f"{name} is {value}", f"{name}=", f"give {least} or more")
