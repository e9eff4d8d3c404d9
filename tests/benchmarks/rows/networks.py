"""Networks: what their authors released and what a user would run, in float32 as torch runs it, and ours."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.refiners.cascadepsp import CascadePsp
from bench.refiners.cascadepsp.network import METADATA, build
from bench.training import save_weights
from tests.benchmarks.contests import Contest, Jobs
from tests.benchmarks.networks import SIZE, Computed, Job, built, forward, training_step


def passes(network: str, precision: Computed, training: bool = False) -> Jobs:
    """A pass of the released network and one of ours, both with random weights, of the same map."""
    torch.manual_seed(0)
    maps = torch.rand(1, 1, SIZE, SIZE)
    kind = training_step if training else forward
    sides = (Job("prn-released", training=training), Job(network, precision=precision, training=training))
    return Jobs(*(kind(built(job), maps, job) for job in sides))


def random_weights(folder: Path) -> None:
    """CascadePSP's network: as the authors' package reads it, and as ours does."""
    network = build(0)
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, folder / "model")
    save_weights(network, folder / "weights.safetensors", METADATA)


def cascade(side: int, device: str, folder: Path, **parameters: Any) -> Jobs:
    """The package's ``refine`` and ours, on noise with a square in it."""
    import segmentation_refinement

    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    probs = np.zeros((side, side), np.float32)
    probs[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    codes = (255 * probs).astype(np.uint8)
    package = segmentation_refinement.Refiner(device, model_folder=str(folder), download_and_check_model=False)
    ours = CascadePsp(weights=folder / "weights.safetensors", L=SIZE, device=device, **parameters)
    fast = bool(parameters.get("fast"))
    return Jobs(lambda: package.refine(image, codes, fast=fast, L=SIZE), lambda: ours.refine([image], [probs]))


RELEASED = "prn-released, float32"
FEW: dict[str, Any] = {"rounds": 3, "processes": 1}
"""Of what takes seconds."""

FAST: dict[Computed, str] = {"float32": "prn-fast", "bf16": "prn-fast[precision=bf16]"}

ROWS = [
    Contest(
        work="prn forward",
        setting=f"{SIZE}x{SIZE}, float32",
        peer=RELEASED,
        ours="PrnNetwork, as prn refines with it",
        prepare=partial(passes, "prn", "float32"),
        target=3,
        missed="267 GFLOP in convolutions (361 in the peer's). A large convolution in float32 runs at 260 GFLOP/s on a "
        "thread of an AMD EPYC (Zen 5): a floor of 1.03 s, and this takes 1.15. Three times as fast would be under it; "
        "bf16 is three times as fast.",
        **FEW,
    ),
    Contest(
        work="prn forward",
        setting=f"{SIZE}x{SIZE}, bf16",
        peer=RELEASED,
        ours="PrnNetwork, as prn[precision=bf16] refines with it",
        prepare=partial(passes, "prn", "bf16"),
        target=3,
        note="Where a CPU has AVX512-BF16 (or AMX); elsewhere bf16 is slower than float32.",
        **FEW,
    ),
    Contest(
        work="prn training step",
        setting=f"{SIZE}x{SIZE}, one map",
        peer=RELEASED,
        ours="PrnNetwork, as prn trains it (bf16)",
        prepare=partial(passes, "prn", "bf16", training=True),
        target=3,
        note="Adam on cross-entropy of both branches. The peer's Adam is torch's default, ours is fused, as in our "
        "trainings.",
        missed="Of 2.45 s convolutions take 1.85, 800 GFLOP at 430 GFLOP/s where large ones reach 530 forward; batch "
        "norm takes 0.3, ReLU, sums and copies the rest. torch.compile takes 2.15 s, after 90 s of compiling.",
        **FEW,
    ),
    *(
        Contest(
            work="prn-fast forward",
            setting=f"{SIZE}x{SIZE}, {precision}",
            peer=RELEASED,
            ours=f"FastNetwork with 4 heads, as {refiner} refines with it",
            prepare=partial(passes, "prn-fast", precision),
            target=40,
            missed="10.2 GFLOP: 0.04 s in float32 and 0.02 in bf16 at the pace of large convolutions. A third (bf16: a "
            "half) of the time is not in convolutions but in passes over the map at full size and in small arrays.",
            **FEW,
        )
        for precision, refiner in FAST.items()
    ),
    Contest(
        work="CascadePSP, global step",
        setting=f"{SIZE}x{SIZE}, L={SIZE}, random weights",
        peer="segmentation-refinement",
        ours="CascadePsp(fast=True, precision='bf16')",
        prepare=partial(cascade, SIZE, "cpu", fast=True, precision="bf16"),
        files=random_weights,
        target=1.5,
        note="In float32 ours is the package's to the last bit, and as fast. How far off bf16 is: docs/cascadepsp.md.",
        **FEW,
    ),
    Contest(
        work="CascadePSP, both steps",
        setting=f"{2 * SIZE}x{2 * SIZE}, L={SIZE}, random weights, GPU",
        peer="segmentation-refinement",
        ours="CascadePsp, 8 crops at once",
        prepare=partial(cascade, 2 * SIZE, "cuda"),
        files=random_weights,
        target=2,
        device="cuda",
        clock="wall",
    ),
]
