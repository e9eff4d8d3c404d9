from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from bench.bases.adapters.smp import SmpAny
from bench.contracts import UserError
from tests.bases.test_smp import TEST
from tests.toys import discs


def small(arch: str, **changes: Any) -> SmpAny:
    options: dict[str, Any] = {"encoder": "mobilenet_v2", "encoder_weights": "none", "size": 32, "epochs": 2}
    return SmpAny(arch=arch, **(options | {"batch": 3, "precision": "32-true"} | changes))


@pytest.mark.parametrize("arch", ["unetplusplus", "segformer"])
def test_an_architecture_is_trained_kept_and_loaded(arch: str, tmp_path: Path) -> None:
    trained = small(arch)
    trained.fit(discs("train"), discs("val"), tmp_path)
    given = small(arch, weights=tmp_path / "weights.safetensors")
    assert trained.trainable and not given.trainable
    for one, other, sample in zip(trained.predict(TEST), given.predict(TEST), TEST, strict=True):
        assert one.shape == sample.mask.shape and one.dtype == np.float32
        assert 0 <= one.min() < one.max() <= 1
        np.testing.assert_array_equal(one, other)
    assert len((tmp_path / "training.csv").read_text().splitlines()) == 3


def test_every_step_changes_the_network(tmp_path: Path) -> None:
    class Watched(SmpAny):
        def pretrain(self, network: nn.Module) -> None:
            self.first = {name: value.clone() for name, value in network.named_parameters()}

    base = Watched(arch="segformer", encoder="mobilenet_v2", encoder_weights="none", size=32, epochs=1, batch=3)
    base.fit(discs("train"), discs("val"), tmp_path)
    still = [name for name, value in base.ready().named_parameters() if (value == base.first[name]).all()]
    assert not still


def test_wrong_names_and_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such architecture 'unetpp'.*segformer, unet, unetplusplus"):
        small("unetpp").network()
    with pytest.raises(UserError, match="resnet19"):
        small("segformer", encoder="resnet19").network()
    with pytest.raises(UserError, match=r"dpt.*encoder_weights=FILE"):
        small("dpt", encoder_weights="imagenet").pretrain(nn.Linear(1, 1))
    small("fpn").fit(discs("train"), discs("val"), tmp_path)
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        small("segformer", weights=tmp_path / "weights.safetensors").predict(TEST)
