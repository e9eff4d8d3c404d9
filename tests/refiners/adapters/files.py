"""Networks as files, in the three forms, with the values that go in and come out known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.refiners.adapters.exported import RefinerExported
from bench.refiners.adapters.network_file import RefinerFile
from bench.refiners.adapters.onnx import RefinerOnnx
from bench.refiners.adapters.torchscript import RefinerTorchScript
from tests.bases.adapters.eager import deprecated

PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

FORMS: dict[str, tuple[type[RefinerFile], str]] = {
    "onnx": (RefinerOnnx, "net.onnx"),
    "torchscript": (RefinerTorchScript, "net.pt"),
    "exported": (RefinerExported, "net.pt2"),
}


def written(
    form: str, folder: Path, module: nn.Module, *examples: Tensor, free: bool = True, multiple: int = 1
) -> Path:
    """The module in a file of that form, its rows and columns of any size, or multiples, where ``free``."""
    path = folder / FORMS[form][1]
    module.eval()
    if form == "torchscript":
        with deprecated():
            torch.jit.trace(module, examples).save(str(path))
        return path
    side: Any = torch.export.Dim.AUTO
    sides = {2: side, 3: side}
    if multiple > 1:
        sides = {axis: multiple * torch.export.Dim(name, min=2, max=64) for axis, name in ((2, "h"), (3, "w"))}
    shapes = tuple(sides for _ in examples) if free else None
    program = torch.export.export(module, examples, dynamic_shapes=shapes)
    if form == "exported":
        torch.export.save(program, path)
    else:
        model = torch.onnx.export(program, dynamo=True, verbose=False)
        assert model is not None
        model.save(path)
    return path


def refiner(form: str, path: Path, **parameters: Any) -> RefinerFile:
    return FORMS[form][0](path=path, **parameters)
