"""Weights of others: safetensors, and what ``torch.save`` writes, with pickles that would run something."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from bench.training.checkpoints import read_state
from tests.fuzz.damage import damaged
from tests.fuzz.harness import Kind, asked

STATE = {"conv.weight": torch.ones(4, 3, 3, 3), "conv.bias": torch.zeros(4), "steps": torch.tensor(7)}


class _Runs:
    """Unpickled, it writes a file where none may be."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("../ran",)


def make(rng: random.Random, folder: Path) -> Path:
    path = folder / f"net{rng.choice(('.safetensors', '.safetensors', '.pth', '.pth', '.th', '.pth.tar'))}"
    if path.suffix == ".safetensors":
        data = save(STATE)
        path.write_bytes(_lying(data, rng) if rng.random() < 0.5 else damaged(data, rng))
        return path
    content: Any = rng.choice(
        (STATE, {"state_dict": STATE, "best": 0.5}, {"model": STATE, "x": _Runs()}, _Runs(), [], 3)
    )
    if rng.random() < 0.2:
        path.write_bytes(damaged(pickle.dumps(content, rng.randrange(6)), rng))
        return path
    torch.save(content, path, _use_new_zipfile_serialization=rng.random() < 0.6)
    path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def _lying(data: bytes, rng: random.Random) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + length])
    entry = head[rng.choice(list(STATE))]
    entry[rng.choice(("dtype", "shape", "data_offsets"))] = rng.choice(
        ("F32", "F8", "", [], [0, 2**63], [2**62, 2**62], [-1, 4], [4, 0], [0, 10**9], None, "é" * 99)
    )
    written = json.dumps(head).encode()
    return struct.pack("<Q", rng.choice((len(written), len(written), 2**40, 0))) + written + data[8 + length :]


def door(path: Path) -> bool:
    def read() -> None:
        state = read_state(path)
        assert all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items())

    return asked(read)


KIND = Kind(400, make, door)
