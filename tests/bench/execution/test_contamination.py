"""Which cells are marked as tested on what public weights had seen: from declarations and from hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.config import Grid, Settings, load
from bench.contracts import UserError
from bench.execution import contamination, plan
from bench.images import write_map
from bench.plugins.variants import resolve
from bench.registry import load_dataset
from bench.store import Manifest, Store
from tests.reports.stores import records

PLUGINS = '''
from pathlib import Path

from bench.contracts import BaseNetwork, Refiner


class Public(Refiner):
    """A refiner whose weights may be public ones."""

    def __init__(self, *, weights: Path | None = None, own: bool = False):
        self.trained_on = () if own else ("ECSSD", "DUTS-TR")

    def refine(self, images, maps):
        return [probs.copy() for probs in maps]


class Toy(BaseNetwork):
    """A base in a file."""

    def __init__(self, *, path: Path | None = None):
        pass

    def predict(self, samples):
        raise NotImplementedError
'''


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "ledger-site"
    info = site / "toy_public-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-public\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[bench.refiners]\npublic = toy_public:Public\n[bench.bases]\nfiled = toy_public:Toy\n"
    )
    (site / "toy_public.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "sets"))


@pytest.fixture
def maps(tmp_path: Path) -> str:
    """A tiny ECSSD, and a base's maps of it."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "sets" / "ecssd" / folder).mkdir(parents=True)
    for number in range(5):
        image = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        image.save(tmp_path / "sets" / "ecssd" / "images" / f"{number}.jpg")
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "sets" / "ecssd" / "masks" / f"{number}.png")
        write_map(tmp_path / "maps" / f"{number}.png", rng.random((8, 8), np.float32))
    return f"maps[path={tmp_path / 'maps'}]"


def planned(base: str, *refiners: str, settings: Settings | None = None, dataset: str = "ecssd") -> list[Manifest]:
    settings = settings or load()
    grid = Grid.of(dataset=[dataset], base=[base], refiner=list(refiners), seed=[0]).over(settings.defaults)
    return [cell.manifest for cell in plan.cells(grid, settings) if cell.asked]


def marks(*cells: Manifest) -> list[tuple[list[str], list[str]]]:
    return [(cell.contaminated, [*cell.contaminated_by]) for cell in cells]


def listing(path: Path, *sets: str) -> Settings:
    """Settings whose ledger lists a file."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest().upper()
    Path("bench.toml").write_text(f'[ledger]\n"{digest}" = {list(sets)}\n')
    return load()


def test_a_refiner_that_saw_the_test_images_marks_its_own_cell(maps: str) -> None:
    assert marks(*planned(maps, "identity", "public")) == [([], []), (["ECSSD"], ["refiner"])]


def test_weights_of_ones_own_are_clean(maps: str) -> None:
    assert marks(*planned(maps, "public[own=true]")) == [([], [])]


def test_a_base_by_its_files_hash_marks_all_its_cells(maps: str, tmp_path: Path) -> None:
    weights = tmp_path / "net.onnx"
    weights.write_bytes(b"weights of somebody")
    base = f"filed[path={weights}]"
    assert marks(*planned(base, "identity")) == [([], [])]
    seen = listing(weights, "ECSSD", "DUTS-TR")
    found = planned(base, "identity", "public", settings=seen)
    assert marks(*found) == [(["ECSSD"], ["base"]), (["ECSSD"], ["base", "refiner"])]
    weights.write_bytes(b"trained anew")
    assert marks(*planned(base, "identity", settings=seen)) == [([], [])]


def test_a_refiners_file_is_looked_up_too(maps: str, tmp_path: Path) -> None:
    weights = tmp_path / "net.pth"
    weights.write_bytes(b"refiner")
    spec = f"public[own=true,weights={weights}]"
    assert marks(*planned(maps, spec, settings=listing(weights, "ecssd"))) == [(["ECSSD"], ["refiner"])]
    assert marks(*planned(maps, spec, settings=listing(weights, "DUTS-TE"))) == [([], [])]


def test_a_dataset_that_declares_nothing_is_never_marked(maps: str, tmp_path: Path) -> None:
    root = tmp_path / "sets" / "ecssd"
    dataset = f"folder[images={root / 'images'},masks={root / 'masks'}]"
    assert marks(*planned(maps, "public", dataset=dataset)) == [([], [])]


def test_the_mark_is_no_part_of_the_identity(maps: str, tmp_path: Path) -> None:
    weights = tmp_path / "net.onnx"
    weights.write_bytes(b"weights")
    base = f"filed[path={weights}]"
    (clean,), (marked,) = planned(base, "identity"), planned(base, "identity", settings=listing(weights, "ECSSD"))
    assert clean.key == marked.key


def test_a_stored_cell_learns_what_the_ledger_has_learnt(maps: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (cell,) = planned(maps, "public")
    done = cell.model_copy(update={"status": "done", "images": 1, "contaminated": [], "contaminated_by": []})
    store.add(done, records([0.5]))
    store.refresh([cell])
    (stored,) = store.manifests()
    assert marks(stored) == [(["ECSSD"], ["refiner"])]
    assert (stored.status, stored.images) == ("done", 1)


@pytest.mark.parametrize(
    ("dataset", "train", "val", "test"),
    [
        ("duts", ["DUTS-TR"], ["DUTS-TE"], ["DUTS-TE"]),
        ("ecssd", ["ECSSD"], ["ECSSD"], ["ECSSD"]),
        ("fss1000", ["FSS-1000"], ["FSS-1000"], ["FSS-1000"]),
        ("kvasir", ["Kvasir-SEG"], ["Kvasir-SEG"], ["Kvasir-SEG"]),
        ("deepglobe", ["DeepGlobe"], ["DeepGlobe"], ["DeepGlobe"]),
        ("quickstart", [], [], []),
    ],
)
def test_what_the_built_in_datasets_are_taken_from(
    dataset: str, train: list[str], val: list[str], test: list[str]
) -> None:
    source = load_dataset(dataset)
    assert [list(contamination.corpora(source, split)) for split in ("train", "val", "test")] == [train, val, test]


def test_u2netp_is_known_by_its_file(shared: Path) -> None:
    settings = load()
    variant = resolve("base", f"onnx[path={shared / 'weights' / 'u2netp.onnx'}]", settings)
    assert contamination.seen(variant.make(device="cpu"), variant, settings) == {"DUTS-TR"}


@pytest.mark.parametrize("entry", ['"abc" = ["ECSSD"]', f'"{"g" * 64}" = ["ECSSD"]', f'"{"a" * 64}" = "ECSSD"'])
def test_a_wrong_ledger_is_named(entry: str) -> None:
    Path("bench.toml").write_text(f"[ledger]\n{entry}\n")
    with pytest.raises(UserError, match=r"bench\.toml: ledger.*: it must be"):
        load()
