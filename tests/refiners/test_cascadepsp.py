from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("segmentation_refinement", reason="the cascadepsp extra is not installed")

import segmentation_refinement
from segmentation_refinement.models.psp.pspnet import RefinementModule

from bench.contracts import UserError
from bench.training import load_state
from refiners import cascadepsp
from refiners.cascadepsp import CascadePsp
from tests.bases.goldens import golden


def test_without_weights_it_says_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascadepsp, "CACHE", tmp_path / "model")
    with pytest.raises(UserError, match=r"weights are not here.*github\.com/hkchengrex/CascadePSP/releases"):
        CascadePsp()


def test_weights_of_another_checksum_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"random weights")
    with pytest.raises(UserError, match="not CascadePSP's released weights"):
        CascadePsp(weights=tmp_path / "model")


def test_it_equals_the_packages_own_refine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The released weights are out of reach here. Any weights show that image, mask, L and fast arrive.
    torch.manual_seed(0)
    state = {f"module.{name}": value for name, value in RefinementModule().state_dict().items()}
    torch.save(state, tmp_path / "model")
    monkeypatch.setattr(cascadepsp, "MD5", hashlib.md5((tmp_path / "model").read_bytes()).hexdigest())
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (61, 83, 3), dtype=np.uint8)
    probs = draw.random((61, 83), dtype=np.float32)
    package = segmentation_refinement.Refiner("cpu", model_folder=str(tmp_path), download_and_check_model=False)
    mask = np.where(probs >= 0.5, 255, 0).astype(np.uint8)
    expected = package.refine(image, mask, fast=True, L=64)
    (refined,) = CascadePsp(weights=tmp_path / "model", L=64, fast=True).refine([image], [probs])
    assert refined.dtype == np.float32
    np.testing.assert_array_equal((refined * 255).round().astype(np.uint8), expected)


OUTPUTS = ("out_28", "out_28_2", "out_56", "out_224", "out_28_3", "out_56_2", "pred_224")


def test_the_packages_network_is_the_published_one(shared: Path, tmp_path: Path) -> None:
    reference = golden(shared, "cascadepsp")
    torch.save({f"module.{key}": value for key, value in reference.state.items()}, tmp_path / "model")
    network = RefinementModule().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 67_683_433
    load_state(network, tmp_path / "model")
    image, mask = reference.inputs
    with torch.no_grad():
        three_levels, one_level = network(image, mask), network(image, mask, inter_s8=mask, inter_s4=mask)
    for number, name in enumerate(OUTPUTS):
        reference.check(f"out{number}", three_levels[name], atol=2e-4, rtol=1e-4)
    reference.check("out7", one_level["pred_224"], atol=1e-4)
