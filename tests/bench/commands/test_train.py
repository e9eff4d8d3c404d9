"""`bench train`: what it leaves a run takes up; killed, it goes on."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import bench
from bench.config import TrainingProtocol
from bench.contracts import UserError
from bench.images import write_map

BASE = "unet[encoder=resnet18,encoder_weights=none,size=32,batch=4]"


def test_a_run_takes_up_what_was_trained(tmp_path: Path) -> None:
    store = tmp_path / "store"
    folder = bench.train_base(BASE, dataset="quickstart", epochs=1, limit=6, store=store, device="cpu")
    written = (folder / "weights.safetensors").stat().st_mtime_ns
    assert folder.is_relative_to(store)
    result = bench.run(
        dataset=["quickstart"],
        base=[BASE],
        refiner=["identity"],
        epochs=1,
        limit=6,
        store=store,
        device="cpu",
        engine="inline",
    )
    assert not result.failures and result.cells[0].base.spec == f"{BASE[:-1]},epochs=1]"
    assert [path.parent for path in store.glob("bases/*/fit/weights.safetensors")] == [folder]
    assert (folder / "weights.safetensors").stat().st_mtime_ns == written
    again = bench.train_base(BASE, dataset="quickstart", epochs=1, limit=6, store=store, device="cpu")
    assert again == folder and (folder / "weights.safetensors").stat().st_mtime_ns == written


def test_a_refiner_is_trained_on_the_val_maps_alone(tmp_path: Path) -> None:
    folder = bench.train_refiner(
        "prn[size=64,patch=32]", base=BASE, dataset="quickstart", epochs=1, limit=4, store=tmp_path, device="cpu"
    )
    assert (folder / "weights.safetensors").is_file()
    assert len(list(tmp_path.glob("bases/*/maps-*"))) == 1  # of val, none of test
    assert not list(tmp_path.glob("cells/*"))


def test_protocol_b_is_another_training(tmp_path: Path) -> None:
    def trained(protocol: TrainingProtocol) -> Path:
        return bench.train_base(
            BASE, dataset="quickstart", protocol=protocol, epochs=1, limit=4, store=tmp_path, device="cpu"
        )

    folders = {"A": trained("A"), "B": trained("B")}
    assert folders["A"] != folders["B"]
    rows = {p: list(csv.DictReader((f / "training.csv").open())) for p, f in folders.items()}
    assert rows["A"][0]["validation"] and not rows["B"][0]["validation"]


def test_what_learns_nothing_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="densecrf learns nothing"):
        bench.train_refiner("densecrf", base=BASE, dataset="quickstart", store=tmp_path)
    write_map(tmp_path / "maps" / "one.png", np.zeros((4, 4), np.float32))
    with pytest.raises(UserError, match="has nothing to learn"):
        bench.train_base(f"maps[path={tmp_path / 'maps'},missing=drop]", dataset="quickstart", store=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def losses(folder: Path) -> list[str]:
    log = next(folder.glob("bases/*/fit/training.csv"), None)
    return [row["loss"] for row in csv.DictReader(log.open())] if log else []


@pytest.mark.slow
def test_killed_in_its_second_epoch_it_resumes_to_the_same_loss(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["--dataset", "quickstart", "--epochs", "2", "--limit", "40", "--device", "cpu", "--store"]
    command = [sys.executable, "-m", "bench.cli", "train", "base", BASE, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(whole)], check=True, env=environment)
    process = subprocess.Popen([*command, str(killed)], env=environment)
    while len(losses(killed)) < 1:
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(killed.glob("bases/*/fit/weights.safetensors"))
    subprocess.run([*command, str(killed)], check=True, env=environment)
    print("losses", losses(whole), losses(killed))
    assert losses(whole) == losses(killed) and len(losses(whole)) == 2
    states = [load_file(next(folder.glob("bases/*/fit/weights.safetensors"))) for folder in (whole, killed)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
