"""What `bench list bases --verbose` says of the bases: the authors' parameter counts, and costs that add up."""

from __future__ import annotations

from typing import Any

import pytest

from bench.commands.list import inventory
from bench.config import load
from bench.registry import load_base
from bench.training.profile import parameters

# Measured on the authors' code.
PUBLISHED = {
    "unet": 24_436_369,
    "deeplabv3plus": 45_669_713,
    "pspnet": 48_800_833,
    "dlinknet": 31_096_129,
    "coanet": 59_146_719,
    "glnet": 79_108_742,
    "isdnet": 17_778_609,
    "resunet": 13_043_009,
    "resunetpp": 4_062_993,
    "ssformer": 29_572_545,
    "pfan": 16_381_607,
    "arn": 32_833_025,
    "efficientlab": 2_071_714,
    "rfcn": 134_272_006,
    "resunet-a": 58_032_902,
}
ADAPTERS = {"smp", "torchvision", "huggingface", "onnx", "torchscript", "exported", "maps"}


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, Any]]:
    rows = inventory(load(), ["bases"], describe=True)["bases"]
    return {row["name"]: row for row in rows if not row["summary"].startswith("= ")}


def test_every_base_of_the_paper_is_described_and_has_the_published_parameters(
    listed: dict[str, dict[str, Any]],
) -> None:
    assert listed.keys() == PUBLISHED.keys() | ADAPTERS
    found = {name: row["description"]["parameters"] for name, row in listed.items() if name in PUBLISHED}
    assert found == PUBLISHED
    for name in PUBLISHED:
        description = listed[name]["description"]
        assert description["multiply_adds"] > 1e8
        assert all(description[key] for key in ("input", "recipe", "licence")), name


def test_the_other_form_of_resunetpp() -> None:
    base: Any = load_base("resunetpp[variant=prn]")
    assert parameters(base.network()) == 14_482_564


def test_multiply_adds_grow_with_the_inputs_area() -> None:
    bases: list[Any] = [load_base(f"unet[size={size}]") for size in (64, 128)]
    small, large = (base.describe().multiply_adds for base in bases)
    assert large == 4 * small


def test_multiply_adds_against_hand_arithmetic() -> None:
    import torch
    from torch import nn

    from bench.training.profile import multiply_adds

    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 4, 1, bias=False))
    assert multiply_adds(network, torch.zeros(1, 3, 10, 10)) == 100 * (8 * 3 * 9 + 4 * 8)
