"""Every plug-in that this package brings keeps the contract it asks of others: what ``bench check`` finds out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.bases.adapters.maps import Maps
from bench.config import load
from bench.conformance import Line, check_base, check_dataset, check_metric, check_refiner, checks
from bench.contracts import Image, Mask, Metric, ProbabilityMap, Sample
from bench.images import write_map
from bench.metrics.columns import IMAGE_METRICS, MetricFacts, Scored
from bench.plugins.variants import resolve
from bench.refiners.adapters.refined import Refined
from bench.refiners.prn.fast_refiner import ARCHITECTURE
from bench.registry import load_refiner
from bench.training import save_weights
from tests.bench.datasets.files import write_image, write_mask
from tests.refiners.adapters.files import written

WORTH_KNOWING = {
    "decision on hard maps",  # a network that saw six images may say what it likes of an empty map
    "search space",  # two have nothing to tune
    "splits",  # ECSSD has no train
}
"""Checks of ours that may end in a note; all others must be ok."""


@dataclass(frozen=True)
class Need:
    """What a plug-in needs to be checked at all.

    Attributes:
        parameters: instead of its defaults, so that a training takes a second.
        files: makes the files it needs in an empty folder; returns the parameters that name them.
        modules: optional packages.
        slow: it takes more than three seconds.
    notes: checks beside `WORTH_KNOWING` that may end in a note.
    """

    parameters: dict[str, Any]
    files: Callable[[Path], dict[str, Any]] = lambda folder: {}
    modules: tuple[str, ...] = ()
    slow: bool = False
    notes: tuple[str, ...] = ()


TRAINING: dict[str, Any] = {"encoder_weights": "none", "size": 32, "epochs": 1, "batch": 2, "precision": "32-true"}
EPISODES: dict[str, Any] = TRAINING | {"batch": 1, "shots": 2, "queries": 1}
REFINING: dict[str, Any] = {"inputs": "image/map", "activation": "sigmoid"}
LIGHT: dict[str, Any] = TRAINING | {"encoder": "mobilenet_v2"}


class Red(nn.Module):
    """The red channel as the foreground's logit."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1]


def torchscript(folder: Path) -> dict[str, Any]:
    torch.jit.save(torch.jit.script(Red()), folder / "red.pt")
    return {"path": folder / "red.pt"}


def exported(folder: Path) -> dict[str, Any]:
    program = torch.export.export(Red(), (torch.zeros(1, 3, 32, 32),))
    torch.export.save(program, folder / "red.pt2")
    return {"path": folder / "red.pt2"}


def onnx(folder: Path) -> dict[str, Any]:
    import onnx as package

    graph = """(float[1, 3, h, w] x) => (float[1, 1, h, w] red)
    { red, g, b = Split <axis = 1, num_outputs = 3> (x) }"""
    package.save(package.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> g {graph}'), folder / "red.onnx")
    return {"path": folder / "red.onnx"}


def segformer(folder: Path) -> dict[str, Any]:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "num_attention_heads": [1, 1, 2, 2]}
    SegformerForSemanticSegmentation(SegformerConfig(**sizes, decoder_hidden_size=16)).save_pretrained(folder)
    return {"id": folder}


def lraspp(folder: Path) -> dict[str, Any]:
    from torchvision.models import get_model

    torch.manual_seed(0)
    options: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": 1}
    torch.save(get_model("lraspp_mobilenet_v3_large", **options).state_dict(), folder / "net.pth")
    return {"weights": folder / "net.pth"}


def sam(folder: Path) -> dict[str, Any]:
    from tests.refiners.samrefiner.tiny import tiny_sam

    return {"model": tiny_sam(folder)}


class MapsOfAnything(Maps):
    """The folder has a map of whatever image is asked for: the kit's images are nobody's."""

    def covered(self, ids: Sequence[str]) -> list[str]:
        return list(ids)

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        for sample in samples:
            path = self.path / f"{sample.id}.png"
            path.parent.mkdir(exist_ok=True)
            write_map(path, (sample.image.mean(axis=2) / 255).astype(np.float32))
        return super().predict(samples)


class RefinedOfAnything(Refined):
    """As `MapsOfAnything`, of refined maps."""

    def covered(self, ids: Sequence[str]) -> list[str]:
        return list(ids)

    def refine_named(
        self, ids: Sequence[str], images: Sequence[Image], maps: Sequence[ProbabilityMap]
    ) -> list[ProbabilityMap]:
        for sample_id, probs in zip(ids, maps, strict=True):
            path = self.path / f"{sample_id}.png"
            path.parent.mkdir(exist_ok=True)
            write_map(path, probs)
        return super().refine_named(ids, images, maps)


class Twice(nn.Module):
    """The map's odds, to the power of two and more where the image is bright."""

    def forward(self, pixels: Tensor, prior: Tensor) -> Tensor:
        return 2 * torch.logit(prior.clamp(1e-3, 1 - 1e-3)) + 0.1 * pixels[:, :1]


def refining(form: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: {"path": written(form, folder, Twice(), torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 16, 24))}


def deepglobe(root: Path) -> dict[str, Any]:
    for number in range(10):
        write_image(root / "train" / f"{number}_sat.jpg")
        write_mask(root / "train" / f"{number}_mask.png")
    return {}


def kvasir(root: Path) -> dict[str, Any]:
    names = {"train": ["t1", "t2"], "val": [f"v{number}" for number in range(10)]}
    for split, listed in names.items():
        for name in listed:
            write_image(root / "images" / f"{name}.jpg")
            write_mask(root / "masks" / f"{name}.jpg")
        (root / f"{split}.txt").write_text("\n".join(listed))
    return {}


def duts(root: Path) -> dict[str, Any]:
    for part, names in (("DUTS-TR", "ab"), ("DUTS-TE", "cdefg")):
        for name in names:
            write_image(root / part / f"{part}-Image" / f"{name}.jpg")
            write_mask(root / part / f"{part}-Mask" / f"{name}.png")
    return {}


def ecssd(root: Path) -> dict[str, Any]:
    for number in range(1, 11):
        write_image(root / "images" / f"{number:04d}.jpg")
        write_mask(root / "masks" / f"{number:04d}.png")
    return {}


def fss1000(root: Path) -> dict[str, Any]:
    for name in ("zebra", "bus", "tower_pisa"):
        for number in range(1, 11):
            write_image(root / name / f"{number}.jpg", 224, 224)
            write_mask(root / name / f"{number}.png", np.full((224, 224), 255 * (number % 2), np.uint8))
    return {}


def folder(root: Path) -> dict[str, Any]:
    for number in range(10):
        write_image(root / "images" / f"{number}.png")
        write_mask(root / "masks" / f"{number}.png")
    return {"images": root / "images", "masks": root / "masks"}


NEEDS: dict[str, Need] = {
    "unet": Need(LIGHT),
    "smp": Need(LIGHT | {"arch": "fpn"}),
    "deeplabv3plus": Need(LIGHT, slow=True),
    "pspnet": Need(LIGHT, slow=True),
    "dlinknet": Need(TRAINING, slow=True),
    "glnet": Need(TRAINING | {"size": 76, "patch": 64}, slow=True),
    "isdnet": Need(TRAINING | {"size": 64}, slow=True),
    "coanet": Need(TRAINING | {"crop": 0}, slow=True),
    "resunet": Need(TRAINING, slow=True),
    "resunet-a": Need(TRAINING | {"size": 64}, slow=True),
    "resunetpp": Need(TRAINING),
    "ssformer": Need(TRAINING, slow=True),
    "rfcn": Need(TRAINING | {"variant": "lite"}, slow=True),
    "pfan": Need(TRAINING, slow=True),
    "arn": Need(EPISODES | {"size": 64}, slow=True),
    "efficientlab": Need(EPISODES | {"inner_steps": 1, "train_steps": 1, "val_classes": 2}, slow=True),
    "onnx": Need({"activation": "sigmoid"}, onnx, ("onnx", "onnxruntime")),
    "torchscript": Need({"activation": "sigmoid"}, torchscript),
    "exported": Need({"activation": "sigmoid"}, exported),
    "huggingface": Need({"size": 64}, segformer, ("transformers",)),
    "torchvision": Need({"model": "lraspp_mobilenet_v3_large", "classes": 1, "size": 32}, lraspp),
    "maps": Need({}, lambda folder: {"path": folder}),
    "refined": Need({}, lambda folder: {"path": folder}),
    "refiner-onnx": Need(REFINING, refining("onnx"), ("onnx", "onnxruntime", "onnxscript"), slow=True, notes=("cost",)),
    "refiner-torchscript": Need(REFINING, refining("torchscript"), notes=("cost",)),
    "refiner-exported": Need(REFINING, refining("exported"), notes=("cost",)),
    "densecrf": Need({}, modules=("pydensecrf",)),
    "matting": Need({}, modules=("pymatting",)),
    "sam": Need({}, sam, ("transformers",)),
    "samrefiner": Need({}, sam, ("transformers",)),
    "cascadepsp": Need(
        {"weights": "train", "L": 66, "fast": True, "epochs": 1, "steps": 1, "train_batch": 2, "crop": 32}
        | {"encoder_weights": "none"},
        modules=("segmentation_refinement",),
        slow=True,
    ),
    "prn": Need({"size": 32, "grid": 2, "width": 4, "epochs": 1}),
    "prn-fast": Need({"size": 32, "width": 8, "encoder_weights": "none", "epochs": 1}),
    "prn-released": Need({"size": 32, "grid": 4, "epochs": 1}, slow=True),
    "deepglobe": Need({}, deepglobe),
    "kvasir": Need({}, kvasir),
    "duts": Need({}, duts),
    "ecssd": Need({}, ecssd),
    "fss1000": Need({}, fss1000),
    "folder": Need({}, folder),
    "quickstart": Need({"size": 32, "train": 3, "val": 2, "test": 2}),
}
"""By name. What is not here is checked with its defaults and no files."""


def ours(group: str) -> list[Any]:
    """The entry points that this package brings: a new one joins by itself."""
    found = sorted(entry_points(group=f"bench.{group}"), key=lambda entry: entry.name)
    return [
        pytest.param(entry, id=f"{group}-{entry.name}", marks=[pytest.mark.slow] if slow(entry) else [])
        for entry in found
        if entry.dist is not None and entry.dist.name == "refinebench"
    ]


def slow(entry: EntryPoint) -> bool:
    return entry.name in NEEDS and NEEDS[entry.name].slow


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Five seconds that the first training would be charged with."""
    import_module("lightning")


@pytest.mark.parametrize("entry", [*ours("refiners"), *ours("bases"), *ours("datasets"), *ours("metrics")])
def test_it_keeps_its_contract(entry: EntryPoint, tmp_path: Path) -> None:
    need = NEEDS.get(entry.name, Need({}))
    for module in need.modules:
        pytest.importorskip(module, reason=f"{module} is not installed, which {entry.name} or its file needs")
    of_anything = {"maps": MapsOfAnything, "refined": RefinedOfAnything}
    factory = of_anything[entry.name] if entry.name in of_anything else entry.load()
    given = need.parameters | need.files(tmp_path)
    if entry.group == "bench.datasets":
        lines = check_dataset(factory, root=tmp_path, **given)
    else:
        check = {"bench.refiners": check_refiner, "bench.bases": check_base, "bench.metrics": check_metric}
        lines = check[entry.group](factory, **given)
    assert unexpected([line for line in lines if line.what not in need.notes], given) == []


def unexpected(lines: Sequence[Line], given: dict[str, Any]) -> list[str]:
    """The notes that no plug-in of ours should get."""
    notes = [line for line in lines if line.status != "ok" and line.what not in WORTH_KNOWING]
    # A cost is declared for the defaults. That there is one is asked of all.
    return [str(note) for note in notes if not (given and note.detail.endswith("for the default parameters"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prn", "prn-fast", "prn-released"])
def test_a_refiner_that_takes_long_to_train_keeps_to_its_cost_with_weights(name: str, tmp_path: Path) -> None:
    refiner: Any = load_refiner(name)
    if name == "prn-fast":
        network, said = refiner._build(refiner.heads), {part: str(getattr(refiner, part)) for part in ARCHITECTURE}
    else:
        network, said = refiner.network, refiner._metadata()
    save_weights(network, tmp_path / "untrained.safetensors", said)
    variant = resolve("refiner", f"{name}[weights={tmp_path / 'untrained.safetensors'}]", load())
    (cost,) = [check for check in checks(variant, tmp_path / "fit", Path()) if check.what == "cost"]
    found = cost.find()
    assert "; declared " in found and "default parameters" not in found


class OfColumn(Metric):
    """A built-in metric as a plugged-in one: the same promises hold for it."""

    facts: ClassVar[MetricFacts]

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return float(self.facts.of(Scored(probs, mask)))


@pytest.mark.parametrize("facts", IMAGE_METRICS, ids=lambda facts: facts.key)  # the set's IoU is none of an image
def test_a_built_in_metric_keeps_what_is_asked_of_plugged_in_ones(
    facts: MetricFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {name: getattr(facts, name) for name in ("title", "meaning", "better", "digits")}
    for name, value in {"facts": facts, "scale": float(facts.scale), **shown}.items():
        monkeypatch.setattr(OfColumn, name, value, raising=False)
    found = {line.what: line for line in check_metric(OfColumn)}
    assert {line.status for line in found.values()} == {"ok"}
    undefined = "boundary_accuracy" if facts.key == "boundary_accuracy" else ""
    assert ("NaN" in found["hard cases"].detail) == bool(undefined)
