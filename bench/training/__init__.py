"""One training loop for bases and trainable refiners: Lightning underneath, nothing of it on the outside.

A training reads fixed-shape samples from disk, saves its whole state after every epoch, and ends in
``workdir/weights.safetensors``. Killed and started again it ends with the same weights, bit for bit on a CPU,
as one that was not: the order of the samples, their augmentation and the random numbers of a step (dropout)
are functions of the seed, the epoch and the step, so that no generator's state has to survive. What was trained can
be written as ONNX (`export_onnx`).
"""

from __future__ import annotations

from bench.training.arrays import Batch, TrainingArrays
from bench.training.checkpoints import fit_state, load_state, read_state
from bench.training.export import export_onnx
from bench.training.preprocessing import Preprocessing
from bench.training.recipe import Augment, Loss, Recipe, ious, seeded
from bench.training.trainer import train
from bench.training.weights import load_finished, load_weights, read_metadata, save_weights

__all__ = [
    "Augment",
    "Batch",
    "Loss",
    "Preprocessing",
    "Recipe",
    "TrainingArrays",
    "export_onnx",
    "fit_state",
    "ious",
    "load_finished",
    "load_state",
    "load_weights",
    "read_metadata",
    "read_state",
    "save_weights",
    "seeded",
    "train",
]
