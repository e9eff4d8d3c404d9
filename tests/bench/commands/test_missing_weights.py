"""What a fit needs is looked for before anything is computed; sizes and lone images that cannot be are one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.config import load
from bench.contracts import UserError
from bench.plugins.variants import resolve
from bench.training import encoders, hub
from tests.bench.datasets.files import write_image, write_mask
from tests.toys import ToyMaps, painted

SMALL = "unet[encoder=resnet18,encoder_weights=none,size=32,epochs=1]"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and nothing in the caches of those who download."""
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "reachable", lambda url: False)
    # A client that asks all the same, and its six tries, would show.
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits for the network"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "name", ["unet", "deeplabv3plus", "smp", "dlinknet", "coanet", "isdnet", "pfan", "rfcn", "ssformer", "efficientlab"]
)
def test_every_base_says_so_in_one_line_with_the_ways_out(name: str) -> None:
    base = resolve("base", f"{name}[encoder_weights=imagenet]", load()).make(device="cpu", seed=0)
    with pytest.raises(UserError, match=r"no ImageNet weights.*encoder_weights=FILE, or encoder_weights=none"):
        base.check_fit()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("spec", ["prn-fast", "prn-fast[tune=2]"])
def test_a_refiner_is_asked_before_its_base_is_trained(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", "quickstart", "--base", SMALL, "--refiner", spec, "--engine", "inline", "--device", "cpu"]
    assert main(["run", *options, "--store", "store"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "encoder_weights=FILE" in captured.err
    assert not [*Path("store").rglob("*.*")]  # not so much as a plan


def folder_of_discs(root: Path, count: int) -> str:
    lines = ["image,mask,split"]
    for split, number in (("train", count), ("val", 2), ("test", 2)):
        for index in range(number):
            name = f"{split}{index}.png"
            write_image(root / "images" / name, 32, 32)
            write_mask(root / "masks" / name, np.pad(np.full((16, 32), 255, np.uint8), ((0, 16), (0, 0))))
            lines.append(f"images/{name},masks/{name},{split}")
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    return f"folder[csv={root / 'pairs.csv'}]"


def run(tmp_path: Path, bases: Sequence[str], count: int = 2, **options: Any) -> RunResult:
    wanted = {"dataset": [folder_of_discs(tmp_path, count)], "base": [*bases], "refiner": ["identity"]}
    return bench.run(**{**wanted, "engine": "inline", "device": "cpu", "store": tmp_path / "store", **options})


@pytest.mark.usefixtures("offline")
def test_the_other_bases_of_the_grid_go_on(tmp_path: Path) -> None:
    bases = ["unet", SMALL, "smp[arch=pan,encoder=resnet18,encoder_weights=none,size=64]"]
    result = run(tmp_path, bases, on_error="skip")
    found = {cell.base.spec: cell.manifest.key in result.failures for cell in result.cells}
    assert found == dict(zip(bases, (True, False, True), strict=True))
    assert sorted(manifest.status for manifest in result.store.manifests()) == ["done", "failed", "failed"]


@pytest.mark.usefixtures("offline")
def test_what_is_trained_already_needs_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SMALL.replace("encoder_weights=none", "encoder_weights=imagenet")
    with monkeypatch.context() as patch:
        patch.setattr(encoders, "_load_imagenet", lambda module, encoder: None)
        run(tmp_path, [spec])
    assert run(tmp_path, [spec], refiner=["threshold"]).failures == {}


@pytest.mark.parametrize(
    ("spec", "count", "says"),
    [
        (SMALL.replace("epochs=1", "epochs=1,batch=1"), 3, "batch: 1): use a batch of two or more"),
        (SMALL, 1, "samples: 1, batch: 8): give it two samples or more"),
        ("smp[arch=deeplabv3,encoder=resnet18,encoder_weights=none,size=64,batch=1]", 2, "use a batch of two or more"),
        ("smp[arch=pan,encoder=resnet18,encoder_weights=none,size=64]", 2, "size=64 of SmpAny): use a larger size"),
        ("smp[arch=pan,encoder=resnet18,encoder_weights=none,size=256,crop=64]", 2, "use a larger crop"),
        ("smp[arch=pan,encoder=resnet18,encoder_weights=none,size=128,tile=64]", 2, "use a larger tile"),
    ],
)
def test_a_training_that_cannot_be_is_one_line(
    spec: str, count: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = folder_of_discs(tmp_path, count)
    options = ["--dataset", dataset, "--base", spec, "--refiner", "identity", "--engine", "inline", "--device", "cpu"]
    assert main(["run", *options, "--store", str(tmp_path / "store")]) == 2
    err = capsys.readouterr().err
    assert says in err and err.splitlines()[-1].startswith("bench: error: ") and "Traceback" not in err


@pytest.mark.parametrize(("batch", "count"), [(1, 2), (8, 1)])
def test_a_step_of_one_image_is_fine_where_the_features_are_of_more_than_a_pixel(
    batch: int, count: int, tmp_path: Path
) -> None:
    spec = SMALL.replace("size=32", f"size=64,batch={batch}")
    assert run(tmp_path, [spec], count).failures == {}


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("count", [2, 12])
def test_prn_fast_leaves_a_lone_last_image_out_where_it_must(size: int, count: int, tmp_path: Path) -> None:
    """A head leaves a quarter out: 12 images leave 9, a step of 8 and one of 1; 2 leave 1, too few at 32 px."""
    mask = np.indices((40, 40)).sum(0) < 40
    pairs = [(painted(str(n), mask), np.where(mask, 0.6, 0.3).astype(np.float32)) for n in range(count)]
    refiner = resolve("refiner", f"prn-fast[size={size},encoder_weights=none,epochs=1]", load()).make(seed=0)
    if (size, count) == (32, 2):
        with pytest.raises(UserError, match="give it two samples or more"):
            refiner.fit(ToyMaps(pairs), tmp_path)
    else:
        refiner.fit(ToyMaps(pairs), tmp_path)
        assert (tmp_path / "weights.safetensors").is_file()
