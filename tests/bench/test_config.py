from __future__ import annotations

from pathlib import Path

import pytest

from bench.config import KINDS, Grid, load
from bench.contracts import UserError
from bench.plugins.variants import resolve


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DATA", raising=False)


def write(folder: Path, text: str) -> Path:
    file = folder / "bench.toml"
    file.write_text(text)
    return file


def test_packaged_defaults_stand_without_a_file() -> None:
    settings = load()
    assert settings.defaults.dataset == ["quickstart"]
    assert "quickstart" in settings.experiments
    assert settings.dataset_root("ecssd") == Path("data/ecssd")


def test_a_file_wins_over_the_defaults_key_by_key(tmp_path: Path) -> None:
    write(tmp_path, '[defaults]\nseed = [7, 8]\n[datasets]\nmine = "somewhere"\n')
    settings = load()
    assert settings.defaults.seed == [7, 8]
    assert settings.defaults.dataset == ["quickstart"]
    assert settings.datasets["mine"] == Path("somewhere")
    assert settings.datasets["ecssd"] == Path("ecssd")


def test_paths_of_a_named_file_are_relative_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    settings = load(write(folder, '[defaults]\nstore = "here"\n[data]\nroot = "sets"\n'))
    assert settings.defaults.store == folder / "here"
    assert settings.dataset_root("duts") == folder / "sets" / "duts"


def test_bench_data_overrides_the_parent_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", "/elsewhere")
    assert load().dataset_root("kvasir") == Path("/elsewhere/kvasir/Kvasir-SEG")


def test_an_unknown_dataset_name_gets_a_folder_of_its_name() -> None:
    assert load().dataset_root("cracks") == Path("data/cracks")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[defaults\n", "not valid TOML"),
        ("[defaults]\nrefner = ['prn']\n", "did you mean 'refiner'?"),
        ("[defaultz]\n", "did you mean 'defaults'?"),
        ("[defaults]\nseed = 'many'\n", "defaults.seed"),
        ("[defaults]\ndevice = 'tpu'\n", "'auto', 'cpu' or 'cuda'"),
        ("[experiments.mine]\nbases = ['unet']\n", "did you mean 'base'?"),
        ("[variants.refinr]\n", "did you mean 'refiner'?"),
    ],
)
def test_a_wrong_file_is_named_with_its_key_and_the_fix(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UserError) as raised:
        load()
    message = str(raised.value)
    assert says in message
    assert "bench.toml" in message
    assert "\n" not in message


def test_a_missing_named_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "absent.toml")


def test_an_unknown_experiment_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        load().grids("quikstart", Grid())


def test_an_experiment_of_parts_is_their_grids(tmp_path: Path) -> None:
    own = tmp_path / "bench.toml"
    own.write_text(
        '[experiments.both]\nparts = ["one", "two"]\n[experiments.one]\nseed = [1]\n[experiments.two]\nseed = [2]\n'
        '[experiments.bad]\nparts = ["noe"]\n[experiments.deep]\nparts = ["both"]\n'
    )
    settings = load(own)
    assert [part.seed for part in settings.grids("both", Grid())] == [[1], [2]]
    with pytest.raises(UserError, match=r"no such experiment 'noe' \(experiments\.bad\.parts\).*'one'"):
        settings.grids("bad", Grid())
    with pytest.raises(UserError, match="'both' has parts of its own"):
        settings.grids("deep", Grid())


@pytest.mark.parametrize("name", sorted(load().experiments))
def test_every_packaged_experiment_names_what_exists(name: str) -> None:
    settings = load()
    for part in settings.grids(name, Grid()):
        for kind in KINDS:
            for spec in getattr(part, kind):
                variant = resolve(kind, spec, settings)
                try:
                    if kind != "dataset":
                        variant.make(device="cpu", seed=0)
                except UserError as error:
                    assert "weights are not here" in error.what  # a release download, which a user may lack
