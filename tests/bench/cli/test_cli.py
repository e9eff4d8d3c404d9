"""The command line: help, exit codes, and one line for whatever the user can fix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli import main
from bench.store import Store
from tests.bench.conftest import Toy

COMMANDS = [
    "run",
    "status",
    "report",
    "compare",
    "score",
    "predict",
    "refine",
    "train base",
    "train refiner",
    "tune",
    "export",
    "data list",
    "data prepare",
    "data verify",
    "list",
    "new refiner",
    "new base",
    "new dataset",
    "new metric",
    "check",
    "doctor",
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert "usage: bench" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    heavy = "('torch', 'pandas', 'cv2', 'scipy')"
    code = f"import sys, bench.cli; bench.cli.parser(); print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


Break = Callable[[Toy, Path], list[str]]


def command(toy: Toy, *more: str, dataset: str = "", base: str = "") -> list[str]:
    return [
        "run",
        "--dataset",
        dataset or toy.dataset,
        "--base",
        base or toy.base,
        "--device",
        "cpu",
        "--engine",
        "inline",
        *more,
    ]


def missing_dataset_folder(toy: Toy, folder: Path) -> list[str]:
    return command(toy, "--refiner", "identity", dataset="ecssd")


def truncated_jpeg(toy: Toy, folder: Path) -> list[str]:
    noise = np.random.default_rng(0).integers(0, 255, (24, 20, 3), dtype=np.uint8)
    for picture in list(toy.images.iterdir()):
        jpeg = picture.with_suffix(".jpg")
        Image.fromarray(noise).save(jpeg)
        jpeg.write_bytes(jpeg.read_bytes()[:-200])
        picture.unlink()
    return command(toy, "--refiner", "threshold")


def mask_of_another_size(toy: Toy, folder: Path) -> list[str]:
    for file in toy.masks.iterdir():
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(file)
    return command(toy, "--refiner", "identity")


def map_with_nan(toy: Toy, folder: Path) -> list[str]:
    for file in toy.maps.iterdir():
        file.unlink()
        np.save(file.with_suffix(".npy"), np.full((24, 20), np.nan, np.float32))
    return command(toy, "--refiner", "identity")


def unknown_refiner(toy: Toy, folder: Path) -> list[str]:
    return command(toy, "--refiner", "densecfr")


def bad_toml(toy: Toy, folder: Path) -> list[str]:
    (folder / "bench.toml").write_text("[defaults\n")
    return command(toy, "--refiner", "identity")


def wrong_type_in_toml(toy: Toy, folder: Path) -> list[str]:
    (folder / "bench.toml").write_text("[defaults]\nseed = 'zero'\n")
    return command(toy, "--refiner", "identity")


def missing_extra(toy: Toy, folder: Path) -> list[str]:
    return command(toy, "--refiner", "needy")


def missing_weights(toy: Toy, folder: Path) -> list[str]:
    return command(toy, "--refiner", f"cascadepsp[weights={folder / 'model.pth'}]")


def empty_folder(toy: Toy, folder: Path) -> list[str]:
    (folder / "nothing").mkdir()
    return command(
        toy, "--refiner", "identity", dataset=f"folder[images={folder / 'nothing'},masks={folder / 'nothing'}]"
    )


def unwritable_store(toy: Toy, folder: Path) -> list[str]:
    (folder / "in_the_way").write_text("a file")
    return command(toy, "--refiner", "identity", "--store", str(folder / "in_the_way" / "store"))


def support_set_too_small(toy: Toy, folder: Path) -> list[str]:
    for name in ("abacus", "bus"):
        pairs = folder / "data" / "fss1000" / "fewshot_data" / name
        pairs.mkdir(parents=True)
        for number in (1, 2, 3):
            Image.fromarray(np.zeros((224, 224, 3), np.uint8)).save(pairs / f"{number}.jpg")
            Image.fromarray(np.zeros((224, 224), np.uint8)).save(pairs / f"{number}.png")
    return command(toy, "--refiner", "identity", dataset="fss1000")


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (missing_dataset_folder, ["ecssd", "BENCH_DATA"]),
        (truncated_jpeg, ["images/disc", ".jpg", "truncated"]),
        (mask_of_another_size, ["masks/disc", "6x5"]),
        (map_with_nan, ["maps/disc", "NaN"]),
        (unknown_refiner, ["densecfr", "--refiner", "did you mean 'densecrf'?"]),
        (bad_toml, ["bench.toml", "not valid TOML"]),
        (wrong_type_in_toml, ["bench.toml", "defaults.seed"]),
        (missing_extra, ["needy", "pip install refinebench[densecrf]"]),
        (missing_weights, ["model.pth", "weights"]),
        (empty_folder, ["nothing"]),
        (unwritable_store, ["in_the_way", "--store"]),
        (support_set_too_small, ["shots=2", "abacus"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_wrong_input_gets_one_line_and_exit_code_2(
    toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str], broken: Break, says: list[str]
) -> None:
    assert main(broken(toy, tmp_path)) == 2
    out, err = capfd.readouterr()
    *notes, error, end = err.split("\n")
    assert error.startswith("bench: error: ") and end == ""
    assert all(line.startswith("bench: ") and "error" not in line for line in notes)  # what files were taken for
    for part in says:
        assert part in err
    assert out == ""
    # A store that still opens: what is there is whole, and nothing claims to be done.
    store = Store(tmp_path / "runs" / "default")
    assert [cell.status for cell in store.manifests() if cell.status == "done"] == []


def test_options_have_the_same_form_of_error(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["run", "--limit", "0"],
        ["run", "--device", "tpu"],
        ["refine", "--refiner", "prn"],
        ["export", "--refiner", "prn"],
        ["rnu"],
        [],
    ):
        try:
            code = main(arguments)
        except SystemExit as stop:  # argparse's own
            code = int(stop.code or 0)
        assert code == 2
        assert capsys.readouterr().err.startswith("bench: error: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "nonsense"], ["nonsense", "datasets", "bases", "refiners", "metrics", "experiments"]),
        (["list", "bases", "dataset"], ["'dataset'", "did you mean 'datasets'?"]),
        (["run", "--seed", "-1"], ["'-1'", "--seed", "a whole number from 0 to 4294967295"]),
        (["run", "--seed=-1"], ["'-1'", "--seed", "a whole number from 0 to 4294967295"]),
        (["run", "--seed", "0", "x"], ["'x'", "--seed", "a whole number from 0 to 4294967295"]),
        (["train", "base", "unet", "--dataset", "quickstart", "--seed", "4294967296"], ["--seed", "to 4294967295"]),
        (["run", "--limit", "-2"], ["'-2'", "--limit", "a positive whole number"]),
        (["run", "--limit=-2"], ["'-2'", "--limit", "a positive whole number"]),
        (["run", "--epochs", "-1"], ["'-1'", "--epochs", "a positive whole number"]),
        (["run", "--workers", "-3"], ["'-3'", "--workers", "a positive whole number"]),
        (["run", "--tune", "-3"], ["'-3'", "--tune", "a positive whole number"]),
        (["tune", "--refiner", "prn", "--trials", "-4"], ["'-4'", "--trials", "a positive whole number"]),
    ],
    ids=str,
)
def test_a_wrong_kind_or_number_is_one_line_with_what_is_allowed(
    arguments: list[str], says: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("bench: error: ") and "[]" not in captured.err
    assert all(part in captured.err for part in says)


def test_run_prints_the_table_and_report_prints_it_again(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(toy, "--refiner", "threshold")) == 0
    table = capsys.readouterr().out
    assert "threshold" in table and "mIoU" in table
    assert main(["report"]) == 0
    assert "threshold" in capsys.readouterr().out
    assert main(["report", "--latex", "--csv", "--out", "tables"]) == 0
    assert sorted(path.name for path in Path("tables").iterdir()) == ["report.csv", "report.tex"]


def test_score_writes_a_row_an_image(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    (toy.maps / "disc3.png").unlink()
    assert main(["score", "--masks", str(toy.masks), "--maps", str(toy.maps), "--out", "scores.csv"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("9 images\n")
    assert "9 of 10 masks have a map" in captured.err
    lines = Path("scores.csv").read_text().splitlines()
    assert lines[0].startswith("id,iou,iou_dataset,boundary_iou,") and len(lines) == 10


def test_score_says_what_does_not_fit(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(toy.maps / "stranger.npy", np.zeros((2, 2), np.float32))
    assert main(["score", "--masks", str(toy.masks), "--maps", str(toy.maps)]) == 2
    assert "1 maps have no mask, e.g. stranger" in capsys.readouterr().err
    (toy.maps / "stranger.npy").rename(toy.maps / "disc1.npy")
    assert main(["score", "--masks", str(toy.masks), "--maps", str(toy.maps)]) == 2
    assert "two files of one name, disc1.npy and disc1.png" in capsys.readouterr().err
    (toy.maps / "disc1.png").unlink()
    assert main(["score", "--masks", str(toy.masks), "--maps", str(toy.maps)]) == 2
    assert "disc1.npy" in capsys.readouterr().err


def test_predict_exports_maps_that_score_reads(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", "--dataset", toy.dataset, "--base", toy.base, "--out", "out"]
    assert main([*arguments, "--split", "val", "test"]) == 0
    assert "4 maps in out" in capsys.readouterr().out
    assert len(list(Path("out").glob("*.png"))) == 4
    assert main(["score", "--masks", str(toy.masks), "--maps", "out"]) == 0


def test_list_and_doctor_speak_of_what_is_missing_and_of_what_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "site" / "frappe_bench-5.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: frappe-bench\nVersion: 5.0\n")
    (info / "RECORD").write_text("bench/patches.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert main(["list", "refiners", "--json"]) == 0
    assert '"name": "densecrf"' in capsys.readouterr().out
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "torch" in out and "no folder of the dataset 'ecssd'" in out
    assert "mixed with the files of frappe-bench 5.0: give refinebench an environment of its own" in out


@pytest.mark.usefixtures("plugins")
def test_a_missing_extra_shows_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "refiners"]) == 0
    out = capsys.readouterr().out
    assert "unavailable: pip install refinebench[densecrf]" in out
    assert "broken: RuntimeError: written in a hurry" in out


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "bench.cli", "list", "metrics"], capture_output=True, text=True)
    assert done.returncode == 0 and "boundary_iou" in done.stdout


LONG = "x" * 300


@pytest.mark.parametrize(
    "line",
    [
        f"score --masks {LONG} --maps {LONG}",
        f"score --masks . --maps . --out {LONG}",
        f"run --dataset quickstart --base maps[path={LONG}]",
        f"report --store {LONG}",
        f"refine --refiner identity --images {LONG} --maps {LONG} --out out",
        f"list bases --config {LONG}",
        f"export --refiner prn --checkpoint {LONG} --onnx a.onnx",
        f"data verify folder[csv={LONG}]",
    ],
)
def test_a_name_that_no_file_can_have(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("bench: error: ") and err.count("\n") == 1 and LONG in err
