"""Stand-ins for the released weights, which are out of reach: synthetic ones. Nothing they compute is a result."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

pytest.importorskip("segmentation_refinement", reason="the cascadepsp extra is not installed")

from bench.refiners.cascadepsp import network
from tests.bases.goldens import golden


@pytest.fixture(scope="session")
def synthetic(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as released, of the synthetic weights of goldens/networks.

    With those alone nearly every map is background, and the local step would leave all crops out. The last layer is
    turned round and shifted, so that masks come out that have to do with those that go in.
    """
    state = dict(golden(shared, "cascadepsp").state)
    state["final_21.weight"] = -2 * state["final_21.weight"]
    state["final_21.bias"] = -2 * (state["final_21.bias"] + 1.6)
    path = tmp_path_factory.mktemp("synthetic") / "model"
    torch.save({f"module.{name}": value for name, value in state.items()}, path)
    return path


@pytest.fixture
def released(synthetic: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, taken for the release."""
    with synthetic.open("rb") as stream:
        monkeypatch.setattr(network, "MD5", hashlib.file_digest(stream, "md5").hexdigest())
    return synthetic
