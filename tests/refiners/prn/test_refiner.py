"""PatchRefineNet end to end, in miniature: it learns what a patch-wise biased map needs, and comes back the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bench.config import load
from bench.contracts import Sample, UserError
from bench.plugins.variants import resolve
from bench.refiners.prn import PatchRefineNet
from bench.refiners.prn.loss import EPSILON
from bench.refiners.prn.refiner import default_patch
from bench.training import save_weights
from tests.toys import Pair, ToyMaps
from tests.weights import changed


def biased(count: int, seed: int, side: int = 40) -> ToyMaps:
    """Discs whose maps are shifted in logit by an amount that depends on the quadrant."""

    def pair(index: int) -> Pair:
        rng = np.random.default_rng([seed, index])
        mask = np.zeros((side, side), np.uint8)
        for x, y in rng.integers(6, side - 6, (4, 2)).tolist():
            cv2.circle(mask, (x, y), int(rng.integers(3, 8)), 1, -1)
        shift = np.kron([[-1.5, 1.5], [1.5, -1.5]], np.ones((side // 2, side // 2)))
        logits = 6 * cv2.GaussianBlur(mask.astype(np.float64), (0, 0), 2) - 3 + shift
        image = np.zeros((side, side, 3), np.uint8)
        return Sample(str(index), image, mask > 0), (1 / (1 + np.exp(-logits))).astype(np.float32)

    return ToyMaps.drawn(pair, count)


def mean_iou(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    pairs = [(probs >= 0.5, mask) for probs, mask in zip(maps, masks, strict=True)]
    return float(np.mean([(pred & mask).sum() / (pred | mask).sum() for pred, mask in pairs]))


def miniature(*, epochs: int = 1, floor: float = EPSILON, seed: int = 0) -> PatchRefineNet:
    return PatchRefineNet(size=32, patch=16, width=4, epochs=epochs, floor=floor, lr=4e-3, seed=seed)


def test_it_beats_the_map_and_a_second_object_loads_the_same(tmp_path: Path) -> None:
    # Without a floor the gradient is that of the map's faintest slopes, and training ends far below the map here.
    refiner = miniature(epochs=8, floor=0.1)
    refiner.fit(biased(32, seed=1), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {"tensorboard"} == {"training.csv", "weights.safetensors"}
    test = biased(16, seed=2)
    images, maps, masks = test.images, test.maps, test.masks
    refined = refiner.refine(images, maps)
    assert mean_iou(refined, masks) > mean_iou(maps, masks) + 0.03
    again = miniature(epochs=8, floor=0.1)
    again.fit(biased(32, seed=1), tmp_path)
    for first, second in zip(refined, again.refine(images, maps), strict=True):
        np.testing.assert_array_equal(first, second)


def test_outputs_are_new_maps_of_the_inputs_sizes(tmp_path: Path) -> None:
    refiner = miniature()
    refiner.fit(biased(4, seed=1), tmp_path)
    rng = np.random.default_rng(0)
    maps = [rng.random(shape, dtype=np.float32) for shape in ((32, 32), (17, 90), (100, 33))]
    kept = [probs.copy() for probs in maps]
    refined = refiner.refine([np.zeros((*probs.shape, 3), np.uint8) for probs in maps], maps)
    for before, probs, after in zip(kept, maps, refined, strict=True):
        np.testing.assert_array_equal(before, probs)
        assert after.shape == probs.shape
        assert after.dtype == np.float32
        assert np.isfinite(after).all()
        assert after.min() >= 0
        assert after.max() <= 1


def test_a_map_is_refined_the_same_alone_or_among_others(tmp_path: Path) -> None:
    refiner = miniature()
    refiner.fit(biased(4, seed=1), tmp_path)
    test = biased(3, seed=3)
    together = refiner.refine(test.images, test.maps)
    alone = refiner.refine(test.images[1:2], test.maps[1:2])[0]
    np.testing.assert_array_equal(together[1], alone)


def test_seeds_decide(tmp_path: Path) -> None:
    _, probs = biased(1, seed=5)[0]
    image = np.zeros((*probs.shape, 3), np.uint8)
    results = []
    for run, seed in enumerate((0, 0, 1)):
        refiner = miniature(seed=seed)
        refiner.fit(biased(6, seed=1), tmp_path / str(run))
        results.append(refiner.refine([image], [probs])[0])
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("size", "patch", "width", "epochs"), [(512, 64, 32, 300), (256, 32, 16, 75), (128, 16, 8, 19), (96, 16, 8, 11)]
)
def test_a_smaller_size_is_the_papers_setting_in_miniature(size: int, patch: int, width: int, epochs: int) -> None:
    refiner = PatchRefineNet(size=size)
    assert (refiner.patch, refiner.width, refiner.epochs) == (patch, width, epochs)


def test_the_default_patch_divides_the_size() -> None:
    for size in range(16, 1025, 8):
        assert size % default_patch(size) == 0
        assert default_patch(size) % 8 == 0


def test_weights_of_a_fit_make_a_refiner_that_is_ready(tmp_path: Path) -> None:
    fitted = PatchRefineNet(size=32, patch=8, width=4, branches="local", epochs=1)
    fitted.fit(biased(4, seed=1), tmp_path)
    given = PatchRefineNet(weights=tmp_path / "weights.safetensors", seed=7)
    assert fitted.trainable and not given.trainable
    assert (given.size, given.patch, given.width, given.branches) == (32, 8, 4, "local")
    sample, probs = biased(1, seed=3)[0]
    given.fit(biased(0, seed=0), tmp_path / "nothing")
    other = PatchRefineNet(weights=changed(tmp_path / "weights.safetensors"))
    expected, found, moved = (refiner.refine([sample.image], [probs])[0] for refiner in (fitted, given, other))
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(moved, expected)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    miniature().fit(biased(4, seed=1), tmp_path)
    with pytest.raises(UserError, match=r"patch=8, but these weights have patch=16"):
        PatchRefineNet(patch=8, weights=tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match=r"no such term 'edge'"):
        PatchRefineNet(terms="focal+edge")


def test_bfloat16_says_nearly_the_same(tmp_path: Path) -> None:
    trained = miniature()
    trained.fit(biased(4, seed=1), tmp_path)
    test = biased(4, seed=2)
    rounded = PatchRefineNet(weights=tmp_path / "weights.safetensors", precision="bf16")
    pairs = zip(rounded.refine(test.images, test.maps), trained.refine(test.images, test.maps), strict=True)
    differences = [np.abs(found - exact).max() for found, exact in pairs]
    assert min(differences) > 0 and max(differences) < 0.02


def test_weights_of_version_1_load(tmp_path: Path) -> None:
    network = miniature().network
    said = {"size": "32", "patch": "16", "width": "4", "branches": "both"}  # all that a fit of version 1 wrote
    save_weights(network, tmp_path / "weights.safetensors", said)
    given = PatchRefineNet(weights=tmp_path / "weights.safetensors", seed=7)
    assert PatchRefineNet.version == 3
    assert not given.trainable
    for name, value in network.state_dict().items():
        assert torch.equal(given.network.state_dict()[name], value), name


def test_the_held_variant_is_another_floor() -> None:
    held, plain = (resolve("refiner", name, load()) for name in ("prn-held", "prn"))
    assert (held.make().floor, plain.make().floor) == (0.1, EPSILON)
    assert held.identity != plain.identity


def test_a_grid_says_the_patch_and_either_alone_may_be_given() -> None:
    assert PatchRefineNet(size=96, grid=4).patch == 24
    with pytest.raises(UserError, match=r"both a patch and a grid"):
        PatchRefineNet(patch=64, grid=8)
    with pytest.raises(UserError, match=r"prn\[grid=5\].*divides the size"):
        PatchRefineNet(size=96, grid=5)


def test_the_exported_network_computes_what_refine_does(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    refiner = miniature()
    refiner.fit(biased(6, seed=1, side=32), tmp_path)
    refiner.export_onnx(tmp_path / "prn.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "prn.onnx")
    test = biased(5, seed=2, side=32)
    (found,) = session.run(["refined"], {"map": np.stack(test.maps)[:, None]})
    expected = refiner.refine(test.images, test.maps)
    np.testing.assert_allclose(found[:, 0], np.stack(expected), atol=1e-4)
