from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.bases.parts.pooled_norm import PooledBatchNorm, check_statistics
from bench.contracts import UserError


def test_two_samples_are_normalised_as_torch_does_it() -> None:
    ours, theirs = PooledBatchNorm(3).train(), nn.BatchNorm2d(3).train()
    features = torch.rand(2, 3, 1, 1)
    torch.testing.assert_close(ours(features), theirs(features))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_one_sample_is_normalised_by_the_running_statistics_and_leaves_them() -> None:
    norm = PooledBatchNorm(2, eps=0).train()
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    found = norm(torch.tensor([5.0, 8.0]).view(1, 2, 1, 1))
    assert found.flatten().tolist() == [2.0, 2.0]
    assert norm.running_mean.tolist() == [1.0, 2.0] and norm.running_var.tolist() == [4.0, 9.0]


@pytest.mark.parametrize(("batch", "side", "says"), [(1, 64, "batch=2"), (2, 32, "use 64")])
def test_a_training_without_statistics_is_refused(batch: int, side: int, says: str) -> None:
    check_statistics(2, 64, stride=32)
    with pytest.raises(UserError, match=says):
        check_statistics(batch, side, stride=32)
