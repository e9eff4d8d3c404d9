from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.bases.arn import Arn
from bench.bases.arn.network import AdaptedRelationNetwork
from bench.contracts import Sample, UserError
from bench.datasets.subset import Subset
from tests.bases.few_shot import blobs
from tests.bases.goldens import Golden, golden
from tests.toys import ToyDataset


@pytest.fixture(scope="module")
def reference(shared: Path) -> Golden:
    return golden(shared, "arn")


def loaded(reference: Golden, base: Arn) -> AdaptedRelationNetwork:
    network = base.network()
    assert isinstance(network, AdaptedRelationNetwork)
    network.load_state_dict(reference.state)
    return network.eval()


def test_parameters() -> None:
    with torch.device("meta"):
        network = Arn().network()
    assert isinstance(network, AdaptedRelationNetwork)
    parts = [sum(p.numel() for p in part.parameters()) for part in (network.encoder, network.relation)]
    assert parts == [14_723_712, 18_109_313] and sum(parts) == 32_833_025
    buffers = [sum(b.numel() for b in part.buffers()) for part in (network.encoder, network.relation)]
    assert buffers == [8_461, 6_027]
    description = Arn().describe()
    assert description.parameters == 32_833_025 and description.multiply_adds > 6 * 15e9  # six passes of VGG16


def test_outputs_are_the_authors(reference: Golden) -> None:
    support, query = reference.inputs
    network = loaded(reference, Arn())
    with torch.no_grad():
        encoded, stages = network.encode(support), network.encoder(query)
        logits = network(query[:, :3], support)
    reference.check("mid_support_sum", encoded, 4e-3)
    reference.check("mid_query_feat", stages[-1], 5e-4)
    reference.check("mid_tap4", stages[3], 4e-4)
    reference.check("mid_logit", logits, 2e-5, rtol=1e-4)
    reference.check("out0", logits.sigmoid(), 2.2e-5)


def test_batch_statistics_are_the_authors(reference: Golden) -> None:
    support, query = reference.inputs
    network = loaded(reference, Arn(statistics="batch"))
    with torch.no_grad():
        probs = network(query[:, :3], support).sigmoid()
    reference.check("out1", probs, 1e-3)
    left = network.state_dict()
    assert all(torch.equal(left[name], value) for name, value in reference.state.items())


def sample_of(reference: Golden) -> Sample:
    """The golden's input as a sample: values of 0..255, so near to it but not the same."""
    support, query = reference.inputs

    def image(pixels: Tensor) -> np.ndarray:
        return np.ascontiguousarray((pixels[:3] * 255).round().byte().permute(1, 2, 0).numpy())

    pairs = [Sample(f"c/{n}", image(one), one[3].numpy() > 0.5) for n, one in enumerate(support)]
    return Sample("c/9", image(query[0]), np.zeros((224, 224), np.bool_), tuple(pairs))


def test_one_file_or_the_authors_two(reference: Golden, tmp_path: Path) -> None:
    whole = {f"module.{name}": value for name, value in reference.state.items()}
    torch.save(whole, tmp_path / "whole.pth")
    for part in ("encoder", "relation"):
        own = {k.removeprefix(f"{part}."): v for k, v in reference.state.items() if k.startswith(part)}
        torch.save(own, tmp_path / f"{part}.pkl")
    sample = sample_of(reference)
    (one,) = Arn(weights=tmp_path / "whole.pth").predict([sample])
    two = Arn(weights=tmp_path / "encoder.pkl", relation=tmp_path / "relation.pkl")
    np.testing.assert_array_equal(two.predict([sample])[0], one)
    # Rounding the pixels to 8 bits moves the golden's map by less than 0.01; its values span 0.1 to 0.95.
    reference.check("out0", torch.from_numpy(one)[None, None], 0.01)
    with pytest.raises(UserError, match=r"missing relation\.layer1\.0\.weight.*encoder\.pkl|missing encoder\."):
        Arn(weights=tmp_path / "encoder.pkl").predict([sample])
    with pytest.raises(UserError, match="file of the encoder"):
        Arn(weights=tmp_path / "relation.pkl", relation=tmp_path / "encoder.pkl").predict([sample])


def test_batch_statistics_do_not_depend_on_other_queries() -> None:
    base = Arn(size=32, statistics="batch")
    torch.manual_seed(0)
    network = base.network().eval()
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    masks = torch.rand(3, 1, 32, 32) > 0.5
    with torch.no_grad():
        model = base.episode_model(network, images[:3], masks)
        together = model(images[3:])
        # As the authors' script, which never leaves train mode, fills its five places: a query and four zero images.
        released = Arn(statistics="batch").network().train()
        released.load_state_dict(network.state_dict())
        pixels = images.float() / 255
        for query, found in zip(pixels[3:], together, strict=True):
            places = torch.cat([query[None], torch.zeros(4, 3, 32, 32)])
            expected = released(places, torch.cat([pixels[:3], masks.float()], 1))[0].sigmoid()
            torch.testing.assert_close(found, expected)


def test_running_statistics_are_of_support_and_queries_together() -> None:
    support, queries = torch.rand(3, 4, 64, 64), torch.rand(2, 3, 64, 64)
    for base, expected in ((Arn(), [5]), (Arn(statistics="batch"), [3, 2])):
        network, seen = base.network(), list[int]()
        assert isinstance(network, AdaptedRelationNetwork)
        network.encoder.register_forward_hook(lambda module, given, found, seen=seen: seen.append(len(given[0])))
        with torch.no_grad():
            assert network(queries, support).shape == (2, 1, 64, 64)
        assert seen == expected
        with torch.no_grad():  # without batch statistics the way makes no difference
            network.eval()
            parts = network.decode(network.encode(support), queries)
            torch.testing.assert_close(network(queries, support), parts, atol=1e-4, rtol=1e-4)


def test_loss_is_the_squared_error_of_probabilities() -> None:
    draw = np.random.default_rng(0)
    logits, mask = draw.normal(size=(2, 1, 8, 8)), draw.random((2, 1, 8, 8)) > 0.5
    expected = np.mean((1 / (1 + np.exp(-logits)) - mask) ** 2)
    found = Arn().loss(torch.from_numpy(logits), torch.from_numpy(mask).double())
    assert float(found) == pytest.approx(expected)


def test_gradients_reach_every_parameter() -> None:
    base = Arn(size=64, shots=2, queries=2)
    torch.manual_seed(0)
    network = base.network().train()
    batch = {
        "image": torch.randint(0, 256, (1, 4, 3, 64, 64), dtype=torch.uint8),
        "mask": torch.rand(1, 4, 1, 64, 64) > 0.5,
    }
    base.batch_loss(network, batch).backward()
    without = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    # A bias before batch norm has a gradient of zero, up to rounding.
    assert all(name.endswith("bias") for name in without)


def test_momentum_of_the_released_training() -> None:
    def momenta(base: Arn) -> tuple[set[float | None], set[float | None]]:
        network = base.network()
        assert isinstance(network, AdaptedRelationNetwork)
        encoder, relation = (
            {module.momentum for module in part.modules() if isinstance(module, nn.BatchNorm2d)}
            for part in (network.encoder, network.relation)
        )
        return encoder, relation

    assert momenta(Arn()) == ({0.1}, {0.1})
    assert momenta(Arn(statistics="batch")) == ({0.1}, {1.0})


def test_imagenet_weights_but_for_the_first_convolution(tmp_path: Path) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    features = nn.Sequential(*make_layers(cfgs["D"], batch_norm=True))
    assert isinstance(features[3], nn.Conv2d)
    nn.init.constant_(features[3].weight, 0.25)
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, tmp_path / "vgg.pth")
    base = Arn(encoder_weights=tmp_path / "vgg.pth")
    network = base.network()
    assert isinstance(network, AdaptedRelationNetwork)
    first = copy.deepcopy(network.encoder.layer1.state_dict())
    base.pretrain(network)
    second = network.encoder.features[2]
    assert isinstance(second, nn.Conv2d) and (second.weight == 0.25).all()
    torch.testing.assert_close(network.encoder.layer1.state_dict(), first, atol=0, rtol=0)


def test_it_learns_and_answers(tmp_path: Path) -> None:
    train = ToyDataset(blobs("yak", seed=0, shots=2, pairs=5))
    base = Arn(size=32, shots=2, queries=2, epochs=1)
    base.fit(train, Subset(train, []), tmp_path)
    maps = base.predict([train[0], train[1]])
    assert [found.shape for found in maps] == [(64, 64)] * 2
    again = Arn(size=32, shots=2, weights=tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(again.predict([train[0]])[0], maps[0])


def test_parameters_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="relation"):
        Arn(relation=tmp_path / "relation.pkl")
    with pytest.raises(UserError, match="tile"):
        Arn(tile=448)
    with pytest.raises(UserError, match="scales"):
        Arn(scales=(1.0, 1.5))
