"""``bench refine``: a folder of maps in, a folder of the same names and kinds out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bench
from bench.cli import main
from bench.commands.refine import to_uint8
from bench.commands.refined import RECORD
from bench.contracts import DECISION, UserError
from bench.images import read_image, read_map
from bench.registry import load_refiner
from bench.training import save_weights
from tests.bench.conftest import Toy
from tests.bench.conftest import install as install_module
from tests.bench.killed import left
from tests.bench.trained import Times, install

FACTOR = 0.25

ASKER = """
from bench.refiners.identity import Identity


class Asker(Identity):
    def ask(self, base):
        raise AssertionError("there is none")
"""


@dataclass(frozen=True)
class Work:
    """Ten images with maps, the weights of `trained.Scale`, and where the refined maps go."""

    toy: Toy
    weights: Path
    out: Path

    def refine(self, refiner: str = "scale", **more: Any) -> int:
        options: dict[str, Any] = {"checkpoint": self.weights, "device": "cpu", **more}
        return bench.refine(refiner=refiner, images=self.toy.images, maps=self.toy.maps, out=self.out, **options)

    def command(self, *more: str, refiner: str = "scale") -> list[str]:
        folders = ["--images", str(self.toy.images), "--maps", str(self.toy.maps), "--out", str(self.out)]
        return ["refine", "--refiner", refiner, "--device", "cpu", *folders, *more]


@pytest.fixture
def work(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.chdir(tmp_path)
    install(tmp_path / "more", monkeypatch)
    install_module(tmp_path / "site", "toy_asker", ASKER, "[bench.refiners]\nasker = toy_asker:Asker\n", monkeypatch)
    weights = tmp_path / "weights.safetensors"
    save_weights(Times(FACTOR), weights)
    return Work(toy, weights, tmp_path / "out")


def files(folder: Path) -> list[str]:
    """All but the record of what made them."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(RECORD))


def test_names_subfolders_and_kinds_are_kept(work: Work) -> None:
    toy = work.toy
    probs = read_map(toy.maps / "disc1.png")
    (toy.images / "deep" / "er").mkdir(parents=True)
    (toy.maps / "deep" / "er").mkdir(parents=True)
    (toy.images / "disc1.png").rename(toy.images / "deep" / "er" / "disc1.png")
    (toy.maps / "disc1.png").unlink()
    Image.fromarray(np.rint(probs * 255).astype(np.uint8)).save(toy.maps / "deep" / "er" / "disc1.PNG")
    np.save(toy.maps / "disc2.npy", read_map(toy.maps / "disc2.png").astype(np.float64))
    (toy.maps / "disc2.png").unlink()

    assert work.refine() == 10
    assert files(work.out) == files(toy.maps)
    for name, kind in (("disc0.png", np.uint16), ("deep/er/disc1.PNG", np.uint8)):
        codes = np.array(Image.open(work.out / name))
        top = float(np.iinfo(kind).max)
        assert codes.dtype == kind
        np.testing.assert_allclose(codes / top, FACTOR * read_map(toy.maps / name), atol=0.5 / top + 1e-7)
    array = np.load(work.out / "disc2.npy")
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, FACTOR * np.load(toy.maps / "disc2.npy"), rtol=1e-6)


@pytest.mark.parametrize(
    ("format", "suffix", "kind", "step"),
    [("png8", ".png", np.uint8, 255), ("png16", ".png", np.uint16, 65535), ("npy", ".npy", np.float32, 1e8)],
)
def test_a_format_may_be_named(work: Work, format: str, suffix: str, kind: type, step: float) -> None:
    maps = work.toy.maps
    probs = {f"disc{number}": read_map(maps / f"disc{number}.png") for number in range(10)}
    (maps / "disc1.png").rename(maps / "disc1.PNG")
    np.save(maps / "disc2.npy", probs["disc2"])
    (maps / "disc2.png").unlink()
    assert main(work.command("--checkpoint", str(work.weights), "--format", format)) == 0
    upper = "disc1.PNG" if suffix == ".png" else "disc1.npy"
    assert files(work.out) == sorted([upper, *(f"disc{number}{suffix}" for number in range(10) if number != 1)])
    for name in files(work.out):
        path = work.out / name
        raw = np.load(path) if suffix == ".npy" else np.array(Image.open(path))
        assert raw.dtype == kind
        np.testing.assert_allclose(read_map(path), FACTOR * probs[path.stem], atol=0.51 / step + 1e-7)
    (work.out / f"disc4{suffix}").unlink()
    assert work.refine(format=format) == 1
    assert work.refine(format=format) == 0


@pytest.fixture
def read_only(work: Work) -> Iterator[None]:
    """The images and maps cannot be written (unless by root), and are not."""
    paths = [work.toy.images, work.toy.maps, *work.toy.images.iterdir(), *work.toy.maps.iterdir()]
    before = {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in paths}
    for path in paths:
        path.chmod(before[path][0] & ~0o222)
    yield
    for path in paths:
        path.chmod(before[path][0])
    assert {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in paths} == before


@pytest.mark.usefixtures("read_only")
def test_two_workers_write_what_one_does(work: Work) -> None:
    assert work.refine("densecrf", checkpoint=None) == 10
    expected = {name: (work.out / name).read_bytes() for name in files(work.out)}
    for name in ("disc3.png", "disc8.png"):
        (work.out / name).unlink()
    assert work.refine("densecrf", checkpoint=None, workers=2) == 2
    assert {name: (work.out / name).read_bytes() for name in files(work.out)} == expected
    assert work.refine("densecrf", checkpoint=None, workers=3, force=True) == 10
    assert {name: (work.out / name).read_bytes() for name in files(work.out)} == expected


def test_a_worker_tells_of_its_image(work: Work, capfd: pytest.CaptureFixture[str]) -> None:
    np.save(work.toy.maps / "disc6.npy", np.full((24, 20), 7.0))
    (work.toy.maps / "disc6.png").unlink()
    assert main(work.command("--workers", "2", refiner="identity")) == 2
    out, err = capfd.readouterr()
    error = err.splitlines()[-1]
    assert error.startswith("bench: error: a map with values 7..7 (") and "disc6.npy" in error
    assert err.count("bench: error") == 1 and "Traceback" not in err
    assert out == "" and not [name for name in files(work.out) if name.endswith(".tmp")]


def test_what_a_killed_process_was_writing_is_removed(work: Work) -> None:
    work.out.mkdir()
    stale, alive = left(work.out / "disc3.png"), left(work.out / "disc3.png", killed=False)
    other = left(work.out / "notes.txt")
    assert work.refine() == 10
    assert not stale.exists() and alive.exists() and other.exists()


def test_a_refiner_without_weights_needs_no_checkpoint(work: Work) -> None:
    assert work.refine("densecrf", checkpoint=None) == 10
    crf = load_refiner("densecrf")
    for name in ("disc4.png", "disc7.png"):
        (expected,) = crf.refine([read_image(work.toy.images / name)], [read_map(work.toy.maps / name)])
        np.testing.assert_allclose(read_map(work.out / name), expected, atol=1e-5)


def test_the_checkpoint_is_the_parameter_weights(work: Work) -> None:
    other = work.weights.with_name("other.safetensors")
    save_weights(Times(0.5), other)
    assert work.refine(f"scale[weights={other}]") == 10  # the checkpoint wins
    first = read_map(work.out / "disc0.png")
    assert work.refine(f"scale[weights={other}]", checkpoint=None, force=True) == 10
    np.testing.assert_allclose(read_map(work.out / "disc0.png"), 2 * first, atol=3e-5)


def test_what_is_there_is_left_alone_unless_forced(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    assert work.refine() == 10
    before = {name: (work.out / name).stat().st_mtime_ns for name in files(work.out)}
    (work.out / "disc3.png").unlink()
    capsys.readouterr()
    assert main(work.command("--checkpoint", str(work.weights))) == 0
    captured = capsys.readouterr()
    assert captured.out == f"1 maps written to {work.out}\n"
    assert "9 of 10 maps are in" in captured.err and "--force" in captured.err
    changed = [name for name in before if (work.out / name).stat().st_mtime_ns != before[name]]
    assert changed == ["disc3.png"]
    assert main(work.command("--checkpoint", str(work.weights), "--force")) == 0
    assert capsys.readouterr().out == f"10 maps written to {work.out}\n"


def test_a_call_that_stopped_is_gone_on_with(work: Work) -> None:
    image = work.toy.images / "disc4.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:-60])
    with pytest.raises(UserError, match="unreadable"):
        work.refine()
    done = files(work.out)
    assert "disc4.png" not in done and 4 <= len(done) < 9
    for name in done:
        read_map(work.out / name)
    image.write_bytes(whole)
    assert work.refine() == 10 - len(done)
    assert files(work.out) == files(work.toy.maps)


def test_images_without_a_map_are_left_out(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    (work.toy.maps / "disc3.png").unlink()
    assert main(work.command("--checkpoint", str(work.weights))) == 0
    captured = capsys.readouterr()
    assert "9 of 10 images have a map" in captured.err
    assert captured.out == f"9 maps written to {work.out}\n"


@given(st.floats(0, 1, width=32))
def test_eight_bits_keep_the_value_and_the_decision(value: float) -> None:
    code = int(to_uint8(np.array([[value]], np.float32))[0, 0])
    assert abs(code / 255 - value) <= 1 / 510 + 1e-12
    assert (code / 255 >= DECISION) == (value >= DECISION)


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_eight_bits_keep_the_decision_next_to_one_half(step: int) -> None:
    half = np.float32(0.5)
    value = half if step == 0 else np.nextafter(half, np.float32(step))
    code = int(to_uint8(np.array([[value]], np.float32))[0, 0])
    assert code == (127 if step < 0 else 128)


Break = Callable[[Work], list[str]]


def another_size(work: Work) -> list[str]:
    for file in work.toy.images.iterdir():
        Image.fromarray(np.zeros((10, 30, 3), np.uint8)).save(file)
    return work.command("--checkpoint", str(work.weights))


def no_image(work: Work) -> list[str]:
    (work.toy.images / "disc3.png").unlink()
    return work.command("--checkpoint", str(work.weights))


def no_folder(work: Work) -> list[str]:
    command = work.command("--checkpoint", str(work.weights))
    command[command.index("--images") + 1] = "nowhere"
    return command


def truncated_image(work: Work) -> list[str]:
    file = work.toy.images / "disc0.png"
    file.write_bytes(file.read_bytes()[:-60])
    return work.command("--checkpoint", str(work.weights))


def two_maps_of_one_name(work: Work) -> list[str]:
    np.save(work.toy.maps / "disc0.npy", np.zeros((24, 20), np.float32))
    return work.command("--checkpoint", str(work.weights))


def out_is_maps(work: Work) -> list[str]:
    return [*work.command("--checkpoint", str(work.weights)), "--out", str(work.toy.maps / ".." / "maps")]


def out_in_maps(work: Work) -> list[str]:
    return [*work.command("--checkpoint", str(work.weights)), "--out", str(work.toy.maps / "refined")]


def out_is_images(work: Work) -> list[str]:
    return [*work.command("--checkpoint", str(work.weights)), "--out", str(work.toy.images)]


def out_below_a_file(work: Work) -> list[str]:
    return [*work.command("--checkpoint", str(work.weights)), "--out", str(work.weights / "out")]


def folder_in_the_way(work: Work) -> list[str]:
    (work.out / "disc0.png").mkdir(parents=True)
    return work.command("--checkpoint", str(work.weights))


def untrained(work: Work) -> list[str]:
    return work.command()


def learns_without_weights(work: Work) -> list[str]:
    return work.command(refiner="threshold")


def checkpoint_for_none(work: Work) -> list[str]:
    return work.command("--checkpoint", str(work.weights), refiner="densecrf")


def no_checkpoint(work: Work) -> list[str]:
    return work.command("--checkpoint", "absent.safetensors")


def damaged_checkpoint(work: Work) -> list[str]:
    work.weights.write_bytes(work.weights.read_bytes()[:20])
    return work.command("--checkpoint", str(work.weights))


def oracle(work: Work) -> list[str]:
    return work.command("--checkpoint", str(work.weights), refiner="oracle")


def asks_the_base(work: Work) -> list[str]:
    return work.command(refiner="asker")


def unknown(work: Work) -> list[str]:
    return work.command(refiner="scael")


def gives_nan(work: Work) -> list[str]:
    return work.command(refiner="half[wrong=nan]")


def gives_another_shape(work: Work) -> list[str]:
    return work.command(refiner="half[wrong=shape]")


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (another_size, ["maps/disc0.png", "20x24", "images/disc0.png", "30x10"]),
        (no_image, ["1 maps have no image", "disc3"]),
        (no_folder, ["nowhere", "--images"]),
        (truncated_image, ["images/disc0.png", "unreadable"]),
        (two_maps_of_one_name, ["disc0.npy and disc0.png", "maps"]),
        (out_is_maps, ["mix with the input", "--out"]),
        (out_in_maps, ["mix with the input", "maps/refined"]),
        (out_is_images, ["mix with the input", "images"]),
        (out_below_a_file, ["cannot make the folder", "--out"]),
        (folder_in_the_way, ["cannot write", "out/disc0.png"]),
        (untrained, ["scale is not trained", "bench run", "--checkpoint STORE/refiners/KEY"]),
        (learns_without_weights, ["threshold is not trained", "bench run", "--checkpoint STORE/refiners/KEY"]),
        (checkpoint_for_none, ["'densecrf' takes no checkpoint", "--checkpoint"]),
        (no_checkpoint, ["absent.safetensors", "--checkpoint"]),
        (damaged_checkpoint, ["unreadable weights", "weights.safetensors"]),
        (oracle, ["oracle needs the ground truth"]),
        (asks_the_base, ["asker needs the base network", "bench run"]),
        (unknown, ["scael", "did you mean 'scale'?"]),
        (gives_nan, ["half[wrong=nan]", "NaN", "disc0.png"]),
        (gives_another_shape, ["half[wrong=shape]", "(24, 20)"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_wrong_input_gets_one_line_and_exit_code_2(
    work: Work, capfd: pytest.CaptureFixture[str], broken: Break, says: list[str]
) -> None:
    arguments = broken(work)
    before = {path: path.read_bytes() for path in work.out.parent.rglob("*") if path.is_file()}
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    *notes, error, end = err.split("\n")
    assert error.startswith("bench: error: ") and end == ""
    assert all(line.startswith("bench: ") and "error" not in line for line in notes)  # what files were taken for
    for part in says:
        assert part in err
    assert out == ""
    # The first image already stops it: nothing new, nothing half-written, nothing replaced.
    assert before == {
        path: path.read_bytes()
        for path in work.out.parent.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_python_gets_the_same_error(work: Work) -> None:
    with pytest.raises(UserError, match="is not trained"):
        work.refine(checkpoint=None)
    with pytest.raises(UserError, match=r"no such format 'jpeg' .*did you mean 'png"):
        work.refine(format="jpeg")
    assert not work.out.exists()
