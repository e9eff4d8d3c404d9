"""A network prepared for inference computes what it did."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.training import seeded
from bench.training.folding import folded, lowered, prepared


def trained(*layers: nn.Module) -> nn.Sequential:
    """The layers with statistics and weights that are not those of a new batch norm."""
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                assert values is not None
                nn.init.normal_(values)
            assert module.running_var is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def of(network: nn.Module, features: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = network(features)
        return found


def test_norms_are_folded_wherever_they_follow_a_convolution() -> None:
    with seeded(0):
        inner = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        network = trained(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), inner, nn.BatchNorm2d(4))
        features = torch.randn(2, 3, 9, 11)
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    ready = folded(network)
    assert [type(layer).__name__ for layer in ready.modules()].count("BatchNorm2d") == 1  # it follows no convolution
    torch.testing.assert_close(of(ready, features), of(network, features))
    assert not any(parameter.requires_grad for parameter in ready.parameters())
    for parameter in ready.parameters():
        parameter.zero_()
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())


def test_a_norm_of_another_kind_stays() -> None:
    class Doubled(nn.BatchNorm2d):
        def forward(self, features: Tensor) -> Tensor:
            return 2 * super().forward(features)

    with seeded(0):
        network, features = trained(nn.Conv2d(3, 4, 1), Doubled(4)), torch.randn(1, 3, 5, 5)
    assert torch.equal(of(folded(network), features), of(network, features))


def test_prepared_networks_say_the_same_to_their_precision() -> None:
    with seeded(0):
        layers = (nn.Conv2d(8, 32, 1), nn.ReLU(), nn.Conv2d(32, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 1))
        network, features = trained(*layers), torch.randn(2, 8, 20, 20)
    expected = of(network, features)
    torch.testing.assert_close(of(prepared(folded(network), "float32"), features), expected)
    with lowered("cpu", "bf16"):
        rounded = of(prepared(folded(network), "bf16"), features)
    assert rounded.dtype == torch.bfloat16
    difference = (rounded.float() - expected).abs()
    assert 0 < difference.max() < 0.05 * expected.abs().max()
