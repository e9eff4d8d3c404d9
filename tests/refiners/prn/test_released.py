"""The released network computes what its authors' does, and loads what their code saved."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from bench.contracts import Sample, UserError
from bench.refiners.prn.released import ReleasedNetwork, load_released
from bench.refiners.prn.released_refiner import PrnReleased, released_rule
from bench.training import save_weights, seeded
from tests.toys import Pair, ToyMaps
from tests.weights import changed

NAMES: dict[int, str] = {8: "prn_p64", 4: "prn_p4", 0: "prn_p0"}
PARAMETERS: dict[int, int] = {8: 3_887_156, 4: 3_887_156, 0: 3_044_922}


@cache
def small(grid: int = 8) -> ReleasedNetwork:
    """Weights and statistics at random, in eval mode. Not to be changed."""
    with seeded(grid):
        network = ReleasedNetwork(grid)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.0)
        return network.eval()


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("grid", [8, 4, 0])
def test_parameters(grid: int) -> None:
    assert sum(parameter.numel() for parameter in small(grid).parameters()) == PARAMETERS[grid]


class Golden:
    """One of the reference outputs, and our network with the weights that belong to it."""

    def __init__(self, folder: Path, grid: int) -> None:
        rule, keys = make_weights(folder / "make_weights.py"), folder / "keys" / f"{NAMES[grid]}.tsv"
        self.state = {key: torch.from_numpy(value) for key, value in rule.synthetic_state_dict(keys).items()}
        self.network = ReleasedNetwork(grid).eval().to(memory_format=torch.channels_last)
        self.network.load_state_dict(self.state)
        self.maps = torch.from_numpy(rule.synthetic_inputs(keys)[0])
        with np.load(folder / f"{NAMES[grid]}.npz") as arrays:
            self.outputs = [torch.from_numpy(arrays[f"out{branch}_stride2"]) for branch in range(2 if grid else 1)]


def make_weights(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(logits: Tensor, expected: Tensor) -> Tensor:
    """Largest absolute difference of each row; the expected map holds every other row and column."""
    return (logits.sigmoid()[..., ::2, ::2] - expected).abs().amax(dim=(0, 1, 3))


@torch.no_grad()
def test_it_computes_the_authors_p64(shared: Path) -> None:
    golden = Golden(shared / "goldens" / "networks", 8)
    levels = golden.network.encode(golden.maps)
    whole, local = golden.outputs
    assert difference(golden.network.decode_whole(levels), whole).max() < 1e-4
    golden.network.row_slip = True
    assert difference(golden.network.decode_local(levels), local).max() < 1e-4
    golden.network.row_slip = False
    rows = difference(golden.network.decode_local(levels), local)
    assert rows[192:224].min() > 1e-4  # rows 384..447 of the map
    assert rows[192:224].max() == pytest.approx(0.13, abs=0.005)
    assert torch.cat([rows[:192], rows[224:]]).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("grid", [4, 0])
@torch.no_grad()
def test_it_computes_the_authors_p4_and_p0(shared: Path, grid: int) -> None:
    golden = Golden(shared / "goldens" / "networks", grid)
    found = golden.network(golden.maps)
    for logits, expected in zip(found, golden.outputs, strict=True):
        assert difference(logits, expected).max() < 1e-4


@pytest.mark.parametrize("grid", [8, 4, 0])
def test_names_and_shapes_are_the_authors(shared: Path, grid: int) -> None:
    rows = (shared / "goldens" / "networks" / "keys" / f"{NAMES[grid]}.tsv").read_text().splitlines()
    cells = [row.split("\t") for row in rows if row[0].isdigit()]
    expected = {cell[1]: () if cell[2] == "scalar" else tuple(map(int, cell[2].split("x"))) for cell in cells}
    assert {name: tuple(value.shape) for name, value in small(grid).state_dict().items()} == expected


@pytest.mark.parametrize(("grid", "slip", "side"), [(8, False, 64), (8, True, 128), (4, False, 96)])
@torch.no_grad()
def test_the_local_branch_is_its_decoder_patch_by_patch(grid: int, slip: bool, side: int) -> None:
    state = small(grid).state_dict()
    network = ReleasedNetwork(grid, row_slip=slip).eval()
    network.load_state_dict(state)
    twin = ReleasedNetwork(grid).eval()  # its global decoder is the other's local one
    twin.load_state_dict({name: state[name.replace("_global", "_local")] for name in state})
    with seeded(1):
        levels = network.encode(torch.rand(2, 1, side, side))
    found = network.decode_local(levels)
    high = side // grid
    for row in range(grid):
        for column in range(grid):
            patches = []
            for stride, level in zip((1, 2, 4, 8), levels, strict=True):
                of = 2 if slip and stride == 2 and row == 6 else row
                unit = high // stride
                patches.append(level[..., of * unit : (of + 1) * unit, column * unit : (column + 1) * unit])
            inside = found[..., row * high : (row + 1) * high, column * high : (column + 1) * high]
            torch.testing.assert_close(inside, twin.decode_whole(patches), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_row_slip_moves_the_seventh_row_of_patches_alone() -> None:
    slipped = ReleasedNetwork(8, row_slip=True).eval()
    slipped.load_state_dict(small().state_dict())
    with seeded(1):
        maps = torch.rand(1, 1, 128, 128)
    (whole, local), (same_whole, moved) = small()(maps), slipped(maps)
    assert torch.equal(whole, same_whole)
    rows = (local != moved).any(dim=3).ravel()
    assert rows.nonzero().ravel().tolist() == list(range(96, 112))


@pytest.mark.parametrize(("grid", "multiple"), [(8, 64), (4, 32), (0, 8)])
def test_sides_that_the_grid_does_not_divide_are_refused(grid: int, multiple: int) -> None:
    with torch.no_grad():
        shapes = [logits.shape for logits in small(grid)(torch.rand(1, 1, multiple, 2 * multiple))]
    assert shapes == [(1, 1, multiple, 2 * multiple)] * (2 if grid else 1)
    with pytest.raises(ValueError, match=f"multiples of {multiple}"):
        small(grid)(torch.rand(1, 1, multiple, multiple + 4))


def test_what_was_not_released_is_refused() -> None:
    with pytest.raises(UserError, match=r"prn-released\[grid=16\].*8, 4 or 0"):
        ReleasedNetwork(16)
    with pytest.raises(UserError, match="row slip"):
        ReleasedNetwork(4, row_slip=True)


@pytest.mark.parametrize("grid", [8, 4, 0])
def test_a_file_as_the_authors_code_saves_it_loads(tmp_path: Path, grid: int) -> None:
    state = small(grid).state_dict()
    saved = {f"module.{name}": value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    # As torch 1.5 and older wrote it.
    torch.save(saved, tmp_path / "weights.th", _use_new_zipfile_serialization=False)
    network = load_released(tmp_path / "weights.th")
    assert network.grid == grid
    assert not network.training
    assert same(network.state_dict(), state)


def test_a_training_of_ours_loads(tmp_path: Path) -> None:
    save_weights(small(), tmp_path / "weights.safetensors")
    network = load_released(tmp_path / "weights.safetensors", 8, row_slip=True)
    assert network.row_slip
    assert same(network.state_dict(), small().state_dict())


@pytest.mark.parametrize("grid", [8, 4, 0])
def test_a_file_of_another_grid_names_its_own(tmp_path: Path, grid: int) -> None:
    torch.save(small(grid).state_dict(), tmp_path / "weights.pth")
    for other in NAMES:
        if other != grid:
            with pytest.raises(UserError, match=rf"weights of another network.*use grid={grid}"):
                load_released(tmp_path / "weights.pth", other)


@pytest.mark.parametrize("grid", [None, 4])
def test_the_first_keys_that_do_not_fit_are_named(tmp_path: Path, grid: int | None) -> None:
    state = small(4).state_dict()
    del state["encoding.psp.bottleneck.bias"]
    state["conv_last_local.0.bias"] = torch.zeros(2)
    state["extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "weights.pth")
    expected = r"missing encoding\.psp\.bottleneck\.bias; unexpected extra; of another shape conv_last_local\.0\.bias"
    with pytest.raises(UserError, match=rf"{expected} \(.*weights\.pth\): name a file made for this one"):
        load_released(tmp_path / "weights.pth", grid)


class Code:
    """Makes a file where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_what_is_no_state_dict_is_refused_and_its_code_not_run(tmp_path: Path) -> None:
    torch.save({"weight": Code(tmp_path / "trace")}, tmp_path / "code.th")
    torch.save([torch.zeros(1)], tmp_path / "list.th")
    torch.save({"epoch": 3}, tmp_path / "number.th")
    (tmp_path / "noise.th").write_bytes(b"noise")
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    for name in ("code.th", "list.th", "number.th", "noise.th", "noise.safetensors"):
        with pytest.raises(UserError, match=r"unreadable weights|no weights in it|would run code"):
            load_released(tmp_path / name)
    assert not (tmp_path / "trace").exists()
    with pytest.raises(UserError, match="no such weights"):
        load_released(tmp_path / "absent.th")


@pytest.mark.parametrize("seed", range(5))
def test_the_released_rule_is_the_authors(seed: int) -> None:
    draw = np.random.default_rng(seed)
    # Blobs, and values at the threshold itself.
    whole, local = (ndimage.gaussian_filter(draw.random((2, 1, 30, 41)), (0, 0, 2, 2)) for _ in range(2))
    whole, local = (np.round(probs * 100) / 100 for probs in (whole, local))
    assert (whole == 0.5).any()
    everywhere = np.ones((1, 1, 3, 3), bool)
    rim = ndimage.binary_dilation((whole > 0.5) & (local > 0.5), everywhere)
    found = released_rule(torch.from_numpy(whole), torch.from_numpy(local))
    np.testing.assert_array_equal(found.numpy(), ((whole > 0.5) | rim).astype(np.float64))
    assert (found.numpy() > (whole > 0.5)).any()


def blurred(index: int) -> Pair:
    """Discs and their blurred mask as the map."""
    side, draw = 70, np.random.default_rng(index)
    mask = np.zeros((side, side), np.uint8)
    for x, y in draw.integers(10, side - 10, (4, 2)).tolist():
        cv2.circle(mask, (x, y), int(draw.integers(4, 12)), 1, -1)
    probs = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3)
    return Sample(str(index), np.zeros((side, side, 3), np.uint8), mask > 0), probs


@pytest.mark.parametrize(("grid", "slip", "size"), [(8, True, 64), (4, False, 32), (0, False, 32)])
def test_a_training_refines_and_its_weights_are_enough(tmp_path: Path, grid: int, slip: bool, size: int) -> None:
    refiner = PrnReleased(size=size, grid=grid, row_slip=slip, epochs=2)
    initial = {name: value.clone() for name, value in refiner.network.state_dict().items()}
    assert refiner.trainable
    assert refiner.patch == (size // grid if grid else size)
    refiner.fit(ToyMaps.drawn(blurred, 2), tmp_path)
    assert not same(refiner.network.state_dict(), initial)
    sides = [(64, 64), (50, 77)]
    maps = [np.random.default_rng(0).random(shape, dtype=np.float32) for shape in sides]
    images = [np.zeros((*shape, 3), np.uint8) for shape in sides]
    refined = refiner.refine(images, maps)
    assert [probs.shape for probs in refined] == sides
    for probs in refined:
        assert probs.dtype == np.float32
        assert 0 <= probs.min() < probs.max() <= 1
    again = PrnReleased(row_slip=slip, weights=tmp_path / "weights.safetensors")
    assert not again.trainable
    assert (again.size, again.grid, again.patch) == (size, grid, refiner.patch)
    other = PrnReleased(row_slip=slip, weights=changed(tmp_path / "weights.safetensors"))
    for probs, moved, expected in zip(again.refine(images, maps), other.refine(images, maps), refined, strict=True):
        np.testing.assert_array_equal(probs, expected)
        assert not np.array_equal(moved, expected)
    with pytest.raises(UserError, match=rf"trained with row_slip={slip}.*use row_slip={str(slip).lower()}"):
        PrnReleased(row_slip=not slip, weights=tmp_path / "weights.safetensors")


@pytest.mark.parametrize("grid", [8, 4])
def test_the_rules_join_the_branches_of_the_authors_file(tmp_path: Path, grid: int) -> None:
    maps = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    state = small(grid).state_dict()
    with torch.no_grad():
        for branch, logits in zip(("global", "local"), small(grid)(maps), strict=True):
            # Both sides of the threshold have to occur.
            bias = f"{'conv_last' if grid == 4 else 'out'}_{branch}.0.bias"
            state[bias] = state[bias] - logits.quantile(0.7)
    torch.save(state, tmp_path / "authors.th")
    averaging = PrnReleased(size=64, weights=tmp_path / "authors.th")
    with torch.inference_mode():
        outputs = [logits.numpy()[0, 0].astype(np.float64) for logits in averaging.network(maps)]
    whole, local = (1 / (1 + np.exp(-logits)) for logits in outputs)
    image, probs = np.zeros((64, 64, 3), np.uint8), maps[0, 0].numpy()
    (mean,) = averaging.refine([image], [probs])
    np.testing.assert_allclose(mean, (whole + local) / 2, rtol=0, atol=1e-6)
    (ruled,) = PrnReleased(size=64, weights=tmp_path / "authors.th", rule="released").refine([image], [probs])
    expected = (whole > 0.5) | ndimage.binary_dilation((whole > 0.5) & (local > 0.5), np.ones((3, 3), bool))
    assert (whole > 0.5).mean() < expected.mean() < 1
    np.testing.assert_array_equal(ruled, expected.astype(np.float32))


@pytest.mark.parametrize(("grid", "slip", "side"), [(8, True, 64), (4, False, 32), (0, False, 32)])
@torch.no_grad()
def test_statistics_of_one_map_are_those_of_train_mode_patch_by_patch(grid: int, slip: bool, side: int) -> None:
    # In float64: dividing by the deviations of nearly flat channels, float32's rounding grows.
    state = {
        name: value.double() if value.is_floating_point() else value for name, value in small(grid).state_dict().items()
    }
    network = PrnReleased(size=side, grid=grid, row_slip=slip, statistics="batch").network.double().eval()
    network.load_state_dict(state)
    train = ReleasedNetwork(grid).double().train()  # never in eval mode, as the authors' prediction
    train.load_state_dict(state)
    with seeded(1):
        maps = torch.rand(2, 1, side, side, dtype=torch.float64)
    found = network(maps)
    assert same(network.state_dict(), state)
    for index in range(2):
        levels = train.encode(maps[index : index + 1])
        torch.testing.assert_close(found[0][index : index + 1], train.decode_whole(levels), rtol=0, atol=1e-9)
        for row in range(grid):
            for column in range(grid):
                patches = []
                for stride, level in zip((1, 2, 4, 8), levels, strict=True):
                    of, unit = 2 if slip and stride == 2 and row == 6 else row, side // grid // stride
                    patches.append(level[..., of * unit : (of + 1) * unit, column * unit : (column + 1) * unit])
                expected = train._decode(patches, "local")
                high = side // grid
                inside = found[1][index, 0, row * high : (row + 1) * high, column * high : (column + 1) * high]
                torch.testing.assert_close(inside, expected[0, 0], rtol=0, atol=1e-9)
    assert not same(train.state_dict(), state)


def test_one_maps_statistics_know_no_other_map_and_are_not_exported(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_weights(small(4), weights)
    refiner = PrnReleased(size=32, statistics="batch", weights=weights)
    before = {name: value.clone() for name, value in refiner.network.state_dict().items()}
    draw = np.random.default_rng(0)
    maps = [draw.random((32, 32), dtype=np.float32), 0.1 * draw.random((40, 30), dtype=np.float32)]
    images = [np.zeros((*probs.shape, 3), np.uint8) for probs in maps]
    first, second = refiner.refine(images, maps)
    again, once_more, other = refiner.refine(images[1::-1] + images[1:], maps[1::-1] + maps[1:])
    np.testing.assert_array_equal(second, again)
    np.testing.assert_array_equal(first, once_more)
    np.testing.assert_array_equal(second, other)
    assert same(refiner.network.state_dict(), before)
    (plain,) = PrnReleased(size=32, weights=weights).refine(images[:1], maps[:1])
    assert np.abs(plain - first).max() > 1e-3
    with pytest.raises(UserError, match=r"prn-released\[statistics=batch\].*export with statistics=training"):
        refiner.export_onnx(tmp_path / "prn.onnx")
    assert not (tmp_path / "prn.onnx").exists()


def test_the_authors_file_is_for_512_pixels(tmp_path: Path) -> None:
    save_weights(small(0), tmp_path / "converted.safetensors")  # says nothing of itself
    assert PrnReleased(weights=tmp_path / "converted.safetensors").size == 512


@pytest.mark.parametrize(
    ("grid", "size", "rule", "message"),
    [
        (8, 96, "mean", r"prn-released\[size=96\].*multiple of 64"),
        (4, 48, "mean", r"prn-released\[size=48\].*multiple of 32"),
        (0, -8, "mean", r"prn-released\[size=-8\].*multiple of 8"),
        (0, 64, "released", r"rule=released.*use rule=mean"),
        (2, 64, "mean", r"prn-released\[grid=2\]"),
    ],
)
def test_parameters_that_do_not_fit_are_the_users_to_fix(
    grid: int, size: int, rule: Literal["mean", "released"], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        PrnReleased(grid=grid, size=size, rule=rule)


def test_one_value_has_no_statistics() -> None:
    PrnReleased(grid=0, size=8)
    with pytest.raises(UserError, match=r"prn-released\[size=8,statistics=batch\].*16 or more"):
        PrnReleased(grid=0, size=8, statistics="batch")
