from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.config import Settings, load
from bench.contracts import UserError
from bench.plugins.entry_points import entries
from bench.plugins.spec import parse
from bench.plugins.variants import resolve
from bench.registry import load_dataset, load_refiner
from tests.bench.conftest import install


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(
        '[variants.refiner]\nstrong = "densecrf[iterations=9,gaussian_sxy=2]"\nstronger = "strong[iterations=20]"\n'
    )
    return load()


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        ("prn", {}),
        ("prn[]", {}),
        (" prn[ size = 128 , patch=16 ] ", {"size": "128", "patch": "16"}),
        ("onnx[mean=[0.5,0.5,0.5],path=a.onnx]", {"mean": [0.5, 0.5, 0.5], "path": "a.onnx"}),
        ('folder[csv="a,b=c.csv"]', {"csv": "a,b=c.csv"}),
    ],
)
def test_parse(spec: str, parameters: dict[str, object]) -> None:
    assert parse(spec, "here").parameters == parameters


@pytest.mark.parametrize("spec", ["", "prn[", "prn[size]", "prn[=3]", "prn[size=]", "onnx[mean=[0.5,x]]"])
def test_what_cannot_be_read_is_said(spec: str) -> None:
    with pytest.raises(UserError, match="cannot read"):
        parse(spec, "--refiner")


def test_a_label_shows_what_differs_from_the_default(settings: Settings) -> None:
    assert resolve("refiner", "densecrf[iterations=10]", settings).label == "densecrf"
    assert resolve("refiner", "densecrf[gaussian_sxy=2,iterations=9]", settings).label == (
        "densecrf[iterations=9,gaussian_sxy=2.0]"
    )


def test_variants_build_on_each_other_and_the_spec_wins(settings: Settings) -> None:
    assert resolve("refiner", "strong", settings).parameters["iterations"] == 9
    variant = resolve("refiner", "stronger[gaussian_compat=1]", settings)
    assert variant.parameters["iterations"] == 20
    assert variant.parameters["gaussian_sxy"] == 2
    assert variant.label == "stronger[gaussian_compat=1.0]"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("densecfr", "did you mean 'densecrf'?"),
        ("densecrf[iteration=3]", "did you mean 'iterations'?"),
        ("densecrf[iterations=many]", "a valid integer"),
        ("cascadepsp[weights=/no/such/file]", "no such file or folder"),
    ],
)
def test_wrong_names_and_values(settings: Settings, spec: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve("refiner", spec, settings)
    assert says in str(raised.value)
    assert raised.value.where in ("--refiner", "/no/such/file")


def test_a_parameter_without_default_is_asked_for(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"write maps\[path=\.\.\.\]"):
        resolve("base", "maps", settings)


@pytest.mark.usefixtures("plugins")
def test_foreign_plugins_are_found_and_their_problems_named(settings: Settings) -> None:
    found = entries("refiner")
    assert found["half"].problem == ""
    assert found["needy"].problem == "unavailable: pip install refinebench[densecrf]"
    assert found["broken"].problem == "broken: RuntimeError: written in a hurry"
    with pytest.raises(UserError, match=r"pip install refinebench\[densecrf\]"):
        resolve("refiner", "needy", settings)
    with pytest.raises(UserError, match="written in a hurry"):
        resolve("refiner", "broken", settings)


@pytest.mark.usefixtures("plugins")
def test_load_makes_objects(settings: Settings) -> None:
    (half,) = load_refiner("half", settings=settings).refine(
        [np.zeros((2, 2, 3), np.uint8)], [np.ones((2, 2), np.float32)]
    )
    assert half.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert load_dataset("quickstart", settings=settings).name == "quickstart"


def test_a_choice_of_numbers_is_read_from_text(settings: Settings) -> None:
    variant = resolve("base", "resunet-a[depth=7]", settings)
    assert variant.parameters["depth"] == 7 and variant.label == "resunet-a[depth=7]"
    with pytest.raises(UserError, match="6 or 7"):
        resolve("base", "resunet-a[depth=8]", settings)


def test_a_refiner_with_nothing_but_refine_is_found_and_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    source = """
from bench.contracts import Refiner


class Copies(Refiner):
    def refine(self, images, maps):
        return [probs.copy() for probs in maps]
"""
    install(tmp_path / "site", "toy_copies", source, "[bench.refiners]\ncopies = toy_copies:Copies\n", monkeypatch)
    for _ in range(2):  # its constructor's signature changes with the first instance
        variant = resolve("refiner", "copies", settings)
        assert variant.identity == {"name": "copies", "version": 1, "parameters": {}}
        made = variant.make(device="cpu", seed=0)
        assert (made.requires, made.extra, made.trainable, made.uses_ground_truth) == ((), "", False, False)
        made.fit(None, tmp_path)
        (refined,) = made.refine([], [np.ones((2, 3), np.float32)])
        assert refined.shape == (2, 3)
        with pytest.raises(UserError, match="no parameter 'args'"):
            resolve("refiner", "copies[args=1]", settings)


def test_what_was_sent_to_another_process_is_imported_there_when_it_is_made(settings: Settings, tmp_path: Path) -> None:
    """Otherwise a stage that only reads the base's maps would count the base's libraries to the refiner's memory."""
    file = tmp_path / "variant.pickle"
    file.write_bytes(pickle.dumps(resolve("base", "unet[size=64]", settings)))
    code = (
        "import pathlib, pickle, sys; variant = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes());"
        "before = 'torch' in sys.modules; made = variant.make(device='cpu', seed=0);"
        "print(variant.label, before, type(made).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["unet[size=64]", "False", "UNet"]
