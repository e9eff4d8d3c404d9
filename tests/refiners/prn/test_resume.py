"""PRN's training killed at random epochs, again and again, ends with the weights of one that was not."""

from __future__ import annotations

import csv
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.refiners.prn import PatchRefineNet
from tests.refiners.prn.test_refiner import biased

EPOCHS = 24
KILLS = 5


def fit(workdir: Path) -> None:
    torch.set_num_threads(1)
    PatchRefineNet(size=32, patch=16, width=4, epochs=EPOCHS).fit(biased(8, seed=1), workdir)


def epochs_done(workdir: Path) -> int:
    log = workdir / "training.csv"
    return len(list(csv.reader(log.open()))) - 1 if log.is_file() else 0


@pytest.mark.slow
def test_killed_five_times_at_random_epochs_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    context = multiprocessing.get_context("spawn")
    rng = np.random.default_rng()
    ends = sorted(rng.choice(np.arange(1, EPOCHS - 1), KILLS, replace=False).tolist())
    print("killed after epochs", ends)
    for end in ends:
        process = context.Process(target=fit, args=(killed,))
        process.start()
        while epochs_done(killed) < end:
            assert process.is_alive(), "the training ended before it could be killed"
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))  # somewhere in the next epoch, or in the writing of its checkpoint
        process.kill()
        process.join()
        assert not (killed / "weights.safetensors").exists()
    fit(killed)
    fit(whole)
    expected, found = (load_file(folder / "weights.safetensors") for folder in (whole, killed))
    assert expected.keys() == found.keys()
    for name, weights in expected.items():
        assert torch.equal(weights, found[name]), name
    assert epochs_done(whole) == epochs_done(killed)
