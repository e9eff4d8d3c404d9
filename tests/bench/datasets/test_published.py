"""DeepGlobe, Kvasir-SEG, DUTS and ECSSD: their layouts, their splits, what is wrong with a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from bench.contracts import SPLITS, UserError
from bench.datasets.deepglobe import DeepGlobe
from bench.datasets.duts import Duts
from bench.datasets.ecssd import Ecssd
from bench.datasets.fss1000 import Fss1000
from bench.datasets.kvasir import Kvasir
from bench.datasets.source import PairSource
from tests.bench.datasets.files import of_kind, write_image, write_mask

ALL: list[type[PairSource]] = [DeepGlobe, Kvasir, Duts, Ecssd, Fss1000]


@pytest.mark.parametrize("source", ALL)
def test_a_missing_folder_says_how_to_name_it(source: type[PairSource], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        source(root=tmp_path / "absent").split("test")
    assert "absent" in caught.value.where
    assert "BENCH_DATA" in caught.value.fix and f"[datasets] {source.name}" in caught.value.fix


@pytest.mark.parametrize("source", ALL)
def test_an_empty_folder_says_what_belongs_there(source: type[PairSource], tmp_path: Path) -> None:
    for action in (lambda: source(root=tmp_path).split("test"), lambda: source(root=tmp_path).verify()):
        with pytest.raises(UserError) as caught:
            action()
        assert caught.value.where == str(tmp_path) and source.layout in caught.value.fix


@pytest.mark.parametrize(
    ("source", "counts"),
    [(DeepGlobe, (4980, 996, 250)), (Kvasir, (880, 96, 24)), (Duts, (10553, 4015, 1004)), (Ecssd, (0, 800, 200))],
)
def test_expected_counts(source: type[PairSource], counts: tuple[int, int, int]) -> None:
    assert tuple(source(root=Path("/absent")).expected[split] for split in SPLITS) == counts


def deepglobe_pair(root: Path, id_: str) -> None:
    write_image(root / "train" / f"{id_}_sat.jpg")
    write_mask(root / "train" / f"{id_}_mask.png", np.full((6, 8, 3), 128, np.uint8))


def test_deepglobe_pairs_by_id_and_splits_in_the_order_of_file_names(tmp_path: Path) -> None:
    numbers = ["10", "104", "1045", "2", "21", "3", "30", "300", "7", "77"]
    for number in numbers:
        deepglobe_pair(tmp_path, number)
    write_image(tmp_path / "train" / "1_sat.jpg")  # would shift every pair made of two sorted lists
    write_mask(tmp_path / "train" / "9_mask.png")
    (tmp_path / "train" / "desktop.ini").write_text("[.ShellClassInfo]")
    source = DeepGlobe(root=tmp_path)

    in_order = sorted(f"{number}_sat.jpg" for number in numbers)
    train, rest = train_test_split(in_order, test_size=0.2, random_state=29)
    val, test = train_test_split(rest, test_size=0.2, random_state=29)
    for split, names in zip(SPLITS, (train, val, test), strict=True):
        assert [f"{id_}_sat.jpg" for id_ in source.split(split).ids] == names
    assert source.completeness() == "10 of 6226 pairs"

    findings = source.verify()
    assert [f.message for f in of_kind(findings, "count")] == [
        "10 of 6226 pairs: the same split rule is applied to what is there"
    ]
    (stray,) = of_kind(findings, "stray")
    assert "1_sat.jpg" in stray.message and "9_mask.png" in stray.message
    (grey,) = of_kind(findings, "non-binary")  # 128 is foreground, as the official note has it
    assert grey.message.startswith("10 of 10") and source.split("test")[0].mask.all()
    assert not any(finding.error for finding in findings)


def test_deepglobe_as_it_is_here(data: Path) -> None:
    source = DeepGlobe(root=data / "deepglobe")
    assert source.found == {"train": 4, "val": 1, "test": 1}
    assert source.completeness() == "6 of 6226 pairs"
    sample = source.split("test")[0]
    assert sample.image.shape == (1024, 1024, 3)
    assert 0.005 < sample.mask.mean() < 0.03  # data/README.md: 0.7 to 2.7 % road
    assert [finding.kind for finding in source.verify()] == ["count"]


def kvasir(root: Path, train: list[str], val: list[str], present: list[str]) -> Kvasir:
    for id_ in present:
        write_image(root / "images" / f"{id_}.jpg")
        write_mask(root / "masks" / f"{id_}.jpg")
    (root / "train.txt").write_text("\r\n".join(train))
    (root / "val.txt").write_text("\n".join(val) + "\n\n")
    return Kvasir(root=root)


def test_kvasir_keeps_the_lists_of_a_partial_copy(tmp_path: Path) -> None:
    val = [f"v{number}" for number in range(10)]
    complete = kvasir(tmp_path / "complete", ["t1", "t2"], val, ["t1", "t2", *val])
    partial = kvasir(tmp_path / "partial", ["t1", "t2"], val[::-1], ["t2", "v0", "v1", "v2", "v3", "odd"])
    assert complete.found == {"train": 2, "val": 8, "test": 2}
    assert list(partial.split("train").ids) == ["t2"]
    for split in SPLITS:
        assert set(partial.split(split).ids) <= set(complete.split(split).ids)
    assert partial.completeness() == "5 of 1000 pairs"
    write_image(tmp_path / "partial" / "images" / "alone.jpg")
    strays = of_kind(Kvasir(root=tmp_path / "partial").verify(), "stray")
    assert len(strays) == 1 and strays[0].message.startswith("alone.jpg, odd.jpg: ")


def test_kvasir_without_its_lists_says_where_they_are(tmp_path: Path) -> None:
    source = kvasir(tmp_path, ["a"], ["b"], ["a", "b"])
    (tmp_path / "val.txt").unlink()
    with pytest.raises(UserError, match=r"val\.txt.*DebeshJha/Kvasir-SEG"):
        source.split("train")


def test_kvasir_as_it_is_here(data: Path) -> None:
    source = Kvasir(root=data / "kvasir" / "Kvasir-SEG")
    assert source.found == {"train": 880, "val": 96, "test": 24}
    assert source.completeness() == ""
    listed = (data / "kvasir" / "Kvasir-SEG" / "val.txt").read_text().split()
    _, test = train_test_split(sorted(listed), test_size=0.2, random_state=29)
    assert list(source.split("test").ids) == test
    sample = source.split("test")[0]
    assert sample.image.shape[:2] == sample.mask.shape and sample.mask.any()


def duts_pair(folder: Path, part: str, id_: str) -> None:
    write_image(folder / f"{part}-Image" / f"{id_}.jpg")
    write_mask(folder / f"{part}-Mask" / f"{id_}.png")


def test_duts_finds_a_doubled_folder_and_names_the_known_wrong_masks(tmp_path: Path) -> None:
    duts_pair(tmp_path / "DUTS-TR", "DUTS-TR", "n1")
    doubled = tmp_path / "DUTS-TE" / "DUTS-TE"
    for id_ in ("ILSVRC2012_test_00036002", "a", "b", "c", "d"):
        duts_pair(doubled, "DUTS-TE", id_)
    write_mask(doubled / "DUTS-TE-Mask" / "mILSVRC2012_test_00036002.png")
    source = Duts(root=tmp_path)
    assert source.found == {"train": 1, "val": 4, "test": 1}
    findings = source.verify()
    (defect,) = of_kind(findings, "defect")
    assert defect.where.endswith("/ILSVRC2012_test_00036002.png") and not defect.error
    (stray,) = of_kind(findings, "stray")
    assert "mILSVRC2012_test_00036002.png" in stray.message


def test_duts_as_it_is_here(data: Path) -> None:
    source = Duts(root=data / "duts")
    assert source.found == {"train": 3, "val": 2, "test": 1}
    assert source.completeness() == "6 of 15572 pairs"
    assert {finding.kind for finding in source.verify()} == {"count", "non-binary"}


def test_ecssd_as_it_is_here(data: Path) -> None:
    source = Ecssd(root=data / "ecssd")
    assert source.found == {"train": 0, "val": 800, "test": 200}
    assert source.completeness() == ""
    _, test = train_test_split([f"{n:04d}" for n in range(1, 1001)], test_size=0.2, random_state=29)
    assert list(source.split("test").ids) == test
    sample = source.split("test")[0]
    assert max(sample.mask.shape) == 400 and sample.image.shape == (*sample.mask.shape, 3)


def test_ecssd_verifies_a_part(data: Path, tmp_path: Path) -> None:
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / folder).mkdir()
        for number in range(1, 11):
            (tmp_path / folder / f"{number:04d}.{suffix}").symlink_to(
                data / "ecssd" / folder / f"{number:04d}.{suffix}"
            )
    findings = Ecssd(root=tmp_path).verify()
    assert [finding.message[:18] for finding in findings] == ["10 of 1000 pairs: "]
