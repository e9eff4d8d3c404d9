"""A network as an ONNX file that is known to compute what the network does."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import UserError
from bench.runtime.files import replacing
from bench.training.inference import whole_float32

TOLERANCE = 1e-4
CHECKED_BATCHES = (1, 3)


def export_onnx(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path) -> None:
    """Write ``module`` as one ONNX file whose inputs and outputs take a batch of any size.

    The file replaces an older one only after onnxruntime, where it is installed, gave the module's own outputs
    within 1e-4 on random inputs of 1 and of 3 samples.

    Args:
        module: in eval mode; takes the inputs by position and returns a tensor or several, batch first. What looks
            like a probability should be one: apply the sigmoid inside.
        inputs: name in the file -> an example, float32 ``Bx...`` in [0, 1] on the module's device; shape and type
            alone matter.
        outputs: the outputs' names in the file, in order.
        path: the file, usually ``*.onnx``.

    Raises:
        UserError: onnxscript is not installed.
        RuntimeError: the written network computes something else: a defect of the exporter.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise UserError("the export needs onnxscript, which is not installed", path, "pip install refinebench[onnx]")
    # Two samples: the tracer takes an axis of length one for a constant.
    examples = tuple(example[:1].repeat(2, *[1] * (example.ndim - 1)) for example in inputs.values())
    batch = torch.export.Dim("batch")
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module,
            examples,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in examples),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # the exporter without dynamo returns none
    for node in program.model.graph:
        # Stack traces, with the paths of this machine.
        node.metadata_props.clear()
    with replacing(path) as temporary:
        program.save(temporary, external_data=False)
        if importlib.util.find_spec("onnxruntime") is not None:
            _verify(temporary, module, dict(zip(inputs, examples, strict=True)), outputs)


def _verify(file: Path, module: nn.Module, examples: Mapping[str, Tensor], outputs: Sequence[str]) -> None:
    """Compare the file with the module on random samples. Raises RuntimeError where they differ."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for count in CHECKED_BATCHES:
        given = {
            name: torch.rand((count, *example.shape[1:]), generator=generator, dtype=example.dtype)
            for name, example in examples.items()
        }
        found = session.run(list(outputs), {name: value.numpy() for name, value in given.items()})
        expected = _run(module, [given[name].to(example.device) for name, example in examples.items()])
        for name, ours, theirs in zip(outputs, expected, found, strict=True):
            if ours.shape != theirs.shape:
                raise RuntimeError(f"ONNX output {name!r} is {theirs.shape} where the network's is {ours.shape}")
            error = float(np.abs(ours - theirs).max(initial=0))
            if not error <= TOLERANCE:  # NaN too
                raise RuntimeError(f"ONNX output {name!r} is {error:.2g} off the network's at a batch of {count}")


def _run(module: nn.Module, given: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    with torch.no_grad(), whole_float32():
        found = module(*given)
    return [tensor.cpu().numpy() for tensor in ([found] if isinstance(found, Tensor) else found)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what torch's exporter says of its own state; its errors are exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
