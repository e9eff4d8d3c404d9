"""Checkpoints of any origin load by name; what is unfit is refused in one line, and no code in a file is run."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.contracts import UserError
from bench.training import load_state, read_state


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


def with_prefix(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("suffix", [".pth", ".th", ".pth.tar", ".pt"])
@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_the_forms_that_training_scripts_write(tmp_path: Path, suffix: str, modern: bool, prefix: str) -> None:
    trained, path = network(), tmp_path / f"checkpoint{suffix}"
    optimiser = torch.optim.Adam(trained.parameters())
    trained(torch.rand(2, 3, 4, 4)).sum().backward()
    optimiser.step()
    content = {
        "epoch": 7,
        "state_dict": with_prefix(prefix, trained.state_dict()),
        "optimizer": optimiser.state_dict(),
        "best_pred": np.float64(0.5),
        "args": Namespace(lr=0.1),
    }
    torch.save(content, path, _use_new_zipfile_serialization=modern)
    other = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    load_state(other, path)
    assert same(trained, other)


def test_safetensors_and_a_plain_state_dict(tmp_path: Path) -> None:
    save_file(with_prefix("module.", network().state_dict()), tmp_path / "w.safetensors")
    torch.save(network().state_dict(), tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        assert read_state(tmp_path / name).keys() == network().state_dict().keys()


def test_weights_of_an_old_torch_lack_a_counter(tmp_path: Path) -> None:
    state = {key: value for key, value in network().state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    loaded = network()
    load_state(loaded, tmp_path / "old.pth")
    found = loaded.state_dict()
    assert state.keys() < found.keys() and all(torch.equal(found[key], value) for key, value in state.items())


def test_another_network_is_told_by_its_first_keys(tmp_path: Path) -> None:
    state = network().state_dict()
    state["0.weight"] = torch.zeros(2, 4, 1, 1)
    state["head.weight"] = state.pop("1.weight")
    torch.save(state, tmp_path / "other.pth")
    says = r"missing 1\.weight; unexpected head\.weight; of another shape 0\.weight \(2x4x1x1, not 2x3x1x1\) \(.*other"
    with pytest.raises(UserError, match=says):
        load_state(network(), tmp_path / "other.pth")
    trained = nn.Sequential(*(nn.Linear(1, 1) for _ in range(5)))
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(UserError, match=r"missing 0\.weight, 0\.bias, 1\.weight and 7 more; unexpected weight, bias"):
        load_state(trained, tmp_path / "linear.pth")


def test_nothing_is_loaded_of_an_unfit_file(tmp_path: Path) -> None:
    state = {key: value + 1 for key, value in network().state_dict().items()}
    del state["1.bias"]
    torch.save(state, tmp_path / "part.pth")
    module = network()
    with pytest.raises(UserError, match=r"missing 1\.bias"):
        load_state(module, tmp_path / "part.pth")
    assert same(module, network())


def test_nan_is_refused(tmp_path: Path) -> None:
    state = network().state_dict()
    state["0.bias"][0] = torch.nan
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(UserError, match=r"NaN or infinite weights: 0\.bias \(.*nan\.pth"):
        load_state(network(), tmp_path / "nan.pth")


class Malicious:
    """Unpickled, it creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("modern", [True, False])
def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path: Path, modern: bool) -> None:
    state = {**network().state_dict(), "payload": Malicious(tmp_path / "executed")}
    torch.save({"state_dict": state}, tmp_path / "evil.pth", _use_new_zipfile_serialization=modern)
    with pytest.raises(UserError, match=r"would run code; nothing of it was executed \(.*evil\.pth") as caught:
        load_state(network(), tmp_path / "evil.pth")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "module.pth")
    with pytest.raises(UserError, match=r"holds torch\.nn\.modules\.container\.Sequential, which would run code"):
        load_state(network(), tmp_path / "module.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 0.5, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    if name == "w.pth":
        torch.save(network().state_dict(), path)
    else:
        save_file(network().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else int(kept)])
    with pytest.raises(UserError, match=rf"unreadable weights.*{name}") as caught:
        load_state(network(), path)
    assert "\n" not in str(caught.value)


def test_what_holds_no_tensors(tmp_path: Path) -> None:
    for number, content in enumerate([{}, {"epoch": 3}, [torch.zeros(1)], {"state_dict": {"w": 3}}]):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(UserError, match="no weights in it"):
            read_state(tmp_path / f"{number}.pth")
    with pytest.raises(UserError, match="no such weights"):
        read_state(tmp_path / "absent.pth")


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x02", b"\x80\xff.", b"(" * 9, b"PK\x03\x04", bytes(99)])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_scraps_are_refused_without_a_warning(
    data: bytes, suffix: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(data)
    with pytest.raises(UserError, match="unreadable weights"):
        read_state(path)
    assert not recwarn.list
