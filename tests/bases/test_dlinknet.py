"""D-LinkNet computes what its authors' network does, and takes other encoders under its decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import resnet34

from bench.bases.dlinknet import DLinkNet
from bench.bases.dlinknet.network import DLinkNet34, DLinkNetOf
from bench.contracts import UserError
from bench.training import seeded
from bench.training.augment import jointly
from tests.bases.goldens import golden
from tests.bases.usage import check_maps, frozen, saved


def count(base: DLinkNet) -> int:
    return sum(parameter.numel() for parameter in base.network().parameters())


@torch.no_grad()
def test_it_computes_the_authors_network(shared: Path) -> None:
    reference = golden(shared, "dlinknet34")
    network = DLinkNet34().eval()
    network.load_state_dict(reference.state)
    (pixels,) = reference.inputs
    *_, deepest = network.encode(pixels)
    reference.check("mid_e4", deepest, atol=0.055)
    reference.check("mid_centre", network.dblock(deepest), atol=0.094)
    logits = network(pixels)
    reference.check("mid_logit", logits, atol=6e-4)
    reference.check("out0", logits.sigmoid(), atol=5e-5)


def test_the_authors_checkpoint_predicts(shared: Path, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "authors.th", golden(shared, "dlinknet34").state)
    check_maps(DLinkNet(weights=checkpoint, channels="bgr", tta="turns", size=64))


def test_parameters() -> None:
    assert count(DLinkNet()) == 31_096_129
    assert "31,096,129" in (DLinkNet.__doc__ or "")


def test_the_value_map_and_the_channels_order() -> None:
    pixels = torch.tensor([0, 51, 255]).view(1, 3, 1, 1)
    assert DLinkNet().preprocessing(pixels).flatten().tolist() == pytest.approx([-1.6, -0.96, 1.6])
    assert DLinkNet(channels="bgr").preprocessing(pixels).flatten().tolist() == pytest.approx([1.6, -0.96, -1.6])


def test_another_encoder_has_its_own_normalisation_in_either_order() -> None:
    pixels = torch.full((1, 3, 1, 1), 255)
    rgb = [(1 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    found = DLinkNet(encoder="mobilenet_v2").preprocessing(pixels)
    assert found.flatten().tolist() == pytest.approx(rgb)
    found = DLinkNet(encoder="mobilenet_v2", channels="bgr").preprocessing(pixels)
    assert found.flatten().tolist() == pytest.approx(rgb[::-1])


def test_imagenet_weights_of_a_file_reach_the_encoder_alone(tmp_path: Path) -> None:
    with seeded(1):
        donor = resnet34(weights=None).state_dict()
    torch.save(donor, tmp_path / "resnet34.pth")
    base = DLinkNet(encoder_weights=tmp_path / "resnet34.pth")
    network = base.network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    base.pretrain(network)
    renamed = {"conv1": "firstconv", "bn1": "firstbn"} | {f"layer{level}": f"encoder{level}" for level in (1, 2, 3, 4)}
    from_donor = {
        f"{renamed[part]}.{rest}": value
        for part, _, rest, value in ((*name.partition("."), value) for name, value in donor.items())
        if part in renamed
    }
    for name, value in network.state_dict().items():
        assert torch.equal(value, from_donor.get(name, before[name])), name
    assert len(from_donor) == len(donor) - 2  # the classifier's weight and bias


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.pth")
    base = DLinkNet(encoder_weights=tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"missing bn1\.weight"):
        base.pretrain(base.network())


def test_mobilenet_with_imagenet_weights(shared: Path) -> None:
    weights = shared / "weights" / "mobilenet_v2-imagenet.safetensors"
    base = DLinkNet(encoder="mobilenet_v2", encoder_weights=weights, size=160)
    network = base.network()
    assert isinstance(network, DLinkNetOf)
    base.pretrain(network)
    own = network.encoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in load_file(weights).items() if name in own)
    # encoder 2,223,872; narrowing 1280x512 + 1,024; centre; decoders of 512, 96, 32 and 24 channels; head.
    narrow, centre = 1280 * 512 + 2 * 512, 4 * (512 * 512 * 9 + 512)
    decoders = sum(
        inside * (inside // 4) + (inside // 4) ** 2 * 9 + (inside // 4) * outside + 6 * (inside // 4) + 3 * outside
        for inside, outside in ((512, 96), (96, 32), (32, 24), (24, 24))
    )
    head = 24 * 32 * 16 + 32 + 32 * 32 * 9 + 32 + 32 * 9 + 1
    assert count(base) == 2_223_872 + narrow + centre + decoders + head
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 160, 160)).shape == (1, 1, 160, 160)


def test_a_narrow_encoder_keeps_its_own_width() -> None:
    with torch.device("meta"):
        network = DLinkNet(encoder="tu-tf_efficientnet_lite0").network()
        assert isinstance(network, DLinkNetOf)
        assert network.dblock.get_submodule("dilate4").weight.shape == (320, 320, 3, 3)
        assert network(torch.zeros(2, 3, 96, 64)).shape == (2, 1, 96, 64)


def test_no_such_encoder() -> None:
    with pytest.raises(UserError, match="no such encoder"):
        DLinkNet(encoder="resnet35").network()


def test_every_weight_learns() -> None:
    base = DLinkNet()
    with seeded(0):
        network = base.network().train()
        mask = (torch.rand(2, 1, 64, 64) > 0.5).float()
        loss = base.loss(network(torch.rand(2, 3, 64, 64)), mask)
    assert frozen(network, loss) == []


def test_the_loss_is_cross_entropy_and_the_batch_s_dice() -> None:
    draw = np.random.default_rng(0)
    logits, mask = draw.normal(size=(2, 1, 4, 4)), draw.random((2, 1, 4, 4)) > 0.8
    probs = 1 / (1 + np.exp(-logits))
    entropy = -np.where(mask, np.log(probs), np.log(1 - probs)).mean()
    dice = (2 * probs[mask].sum() + 1) / (probs.sum() + mask.sum() + 1)
    found = DLinkNet().loss(torch.from_numpy(logits), torch.from_numpy(mask).double())
    assert found.item() == pytest.approx(entropy + 1 - dice)


def test_augmentation_moves_image_and_mask_alike() -> None:
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 20:36, 24:50] = True
    sample = {"image": mask.repeat(3, 1, 1).to(torch.uint8) * 255, "mask": mask}
    augment = jointly(DLinkNet(size=64).augmentation())
    seen: list[Tensor] = []
    for turn in range(20):
        with seeded(turn):
            changed = augment(sample)
        assert changed["image"].dtype == torch.uint8
        assert changed["mask"].dtype == torch.bool
        # The image is interpolated and its colours change: a grey of more than half of white is foreground.
        bright = changed["image"].float().mean(0, keepdim=True) > 120
        assert (bright ^ changed["mask"]).float().mean() < 0.03
        seen.append(changed["mask"])
    assert len({each.numpy().tobytes() for each in seen}) > 10


def test_described_without_computing() -> None:
    described = DLinkNet().describe()
    assert described.parameters == 31_096_129
    assert described.multiply_adds > 1e11
