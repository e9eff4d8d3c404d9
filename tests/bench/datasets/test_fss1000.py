from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts import SPLITS, UserError
from bench.datasets.fss1000 import Fss1000, held_out_classes
from tests.bench.datasets.files import of_kind, samples, write_image, write_mask


def write_class(root: Path, name: str, numbers: range | list[int], side: int = 224) -> None:
    levels = np.zeros((side, side, 3), np.uint8)
    levels[:, : side // 2, 0] = 255  # pure red: as a grey value it is 76, under the threshold
    for number in numbers:
        write_image(root / name / f"{number}.jpg", side, side)
        write_mask(root / name / f"{number}.png", levels)


def test_the_official_classes() -> None:
    val, test = held_out_classes()
    assert (len(val), len(test)) == (192, 48)
    assert len({*val, *test}) == 240
    # Spelt as the folders of the release are; facts of HKUSTCV/FSS-1000.
    assert {"bus", "abe's_flyingfish", "peregine_falcon", "tower_pisa", "nintendo_3ds"} <= {*val, *test}
    assert not {"african_elephant", "eiffel_tower", ""} & {*val, *test}


@pytest.mark.parametrize("shots", [5, 1])
def test_expected_counts_are_queries(shots: int) -> None:
    expected = Fss1000(root=Path("/absent"), shots=shots).expected
    assert expected["train"] == 760 * (10 - shots)
    assert expected["val"] + expected["test"] == 240 * (10 - shots) - 1  # peregine_falcon/8 is no pair


def test_queries_carry_the_first_pairs_of_their_class(tmp_path: Path) -> None:
    val, test = held_out_classes()
    for name in ("zebra", val[0], test[0]):
        write_class(tmp_path, name, range(1, 11))
    source = Fss1000(root=tmp_path)
    for split, name in zip(SPLITS, ("zebra", val[0], test[0]), strict=True):
        dataset = source.split(split)
        assert list(dataset.ids) == [f"{name}/{number}" for number in range(6, 11)]
        for sample in (dataset[0], dataset[4]):
            assert [other.id for other in sample.support] == [f"{name}/{number}" for number in range(1, 6)]
            assert sample.support[0].mask.sum() == 224 * 112 and not sample.support[0].support
    assert source.completeness() == "15 of 4999 queries"
    assert [finding.kind for finding in source.verify()] == ["count"]


def test_the_fingerprint_follows_the_support_set(tmp_path: Path) -> None:
    write_class(tmp_path, "zebra", range(1, 4))
    before = Fss1000(root=tmp_path, shots=2).split("train").fingerprint()
    write_mask(tmp_path / "zebra" / "1.png", np.zeros((224, 224), np.uint8))
    assert Fss1000(root=tmp_path, shots=2).split("train").fingerprint() != before


def test_the_fingerprint_follows_the_assignment(tmp_path: Path) -> None:
    """Same query, same contents of the files: only which pair is the support differs."""
    for name, numbers in (("one", [1, 3]), ("two", [2, 3])):
        write_class(tmp_path / name, "zebra", numbers)
    one, two = (Fss1000(root=tmp_path / name, shots=1).split("train") for name in ("one", "two"))
    assert list(one.ids) == list(two.ids) == ["zebra/3"]
    assert (tmp_path / "one/zebra/1.jpg").read_bytes() == (tmp_path / "two/zebra/2.jpg").read_bytes()
    assert (tmp_path / "one/zebra/1.png").read_bytes() == (tmp_path / "two/zebra/2.png").read_bytes()
    assert one.fingerprint() != two.fingerprint()


def test_episodes_say_which_pairs_are_support(tmp_path: Path) -> None:
    val, _ = held_out_classes()
    write_class(tmp_path, "zebra", range(1, 11))
    write_class(tmp_path, "yak", [2, 4, 10])
    write_class(tmp_path, val[0], [1, 2, 3])
    source = Fss1000(root=tmp_path, shots=2)
    assert source.episodes("train") == {
        "yak": {"support": ["yak/2", "yak/4"], "query": ["yak/10"]},
        "zebra": {"support": ["zebra/1", "zebra/2"], "query": [f"zebra/{number}" for number in range(3, 11)]},
    }
    assert source.episodes("val") == {
        val[0]: {"support": [f"{val[0]}/1", f"{val[0]}/2"], "query": [f"{val[0]}/3"]},
    }
    assert source.episodes("test") == {}


def test_the_episodes_are_those_of_the_samples(tmp_path: Path) -> None:
    write_class(tmp_path, "zebra", range(1, 11))
    write_class(tmp_path, "yak", range(1, 11))
    source = Fss1000(root=tmp_path)
    seen: dict[str, set[str]] = {}
    for sample in samples(source.split("train")):
        seen.setdefault(sample.id.split("/")[0], set()).update(other.id for other in sample.support)
    recorded = source.episodes("train")
    assert {name: sorted(ids) for name, ids in seen.items()} == {
        name: sorted(episode["support"]) for name, episode in recorded.items()
    }
    assert not any(set(episode["support"]) & set(episode["query"]) for episode in recorded.values())
    assert Fss1000(root=tmp_path).episodes("train") == recorded


def test_masks_coded_0_and_1_in_three_channels(tmp_path: Path) -> None:
    write_class(tmp_path, "zebra", [1])
    write_mask(tmp_path / "zebra" / "1.png", np.ones((224, 224, 3), np.uint8))
    assert Fss1000(root=tmp_path, shots=0).split("train")[0].mask.all()


def test_odd_sizes_are_resized_and_strays_reported(tmp_path: Path) -> None:
    write_class(tmp_path, "screw", [1, 2])
    write_class(tmp_path, "screw", [8], side=300)
    write_image(tmp_path / "screw" / "extra.jpeg")
    write_image(tmp_path / "screw" / "9.jpg")
    source = Fss1000(root=tmp_path, shots=2)
    (sample,) = (sample for split in SPLITS for sample in samples(source.split(split)))
    assert sample.id == "screw/8"
    assert sample.image.shape == (224, 224, 3) and sample.mask.sum() == 224 * 112
    findings = source.verify()
    (size,) = of_kind(findings, "size")
    assert "300x300" in size.message and "224x224" in size.message and not size.error
    (stray,) = of_kind(findings, "stray")
    assert "extra.jpeg" in stray.message and "9.jpg" in stray.message


def test_the_photograph_in_place_of_a_mask_is_left_out_and_reported(tmp_path: Path) -> None:
    write_class(tmp_path, "peregine_falcon", range(1, 11))
    source = Fss1000(root=tmp_path)
    ids = [id_ for split in SPLITS for id_ in source.split(split).ids]
    assert ids == [f"peregine_falcon/{number}" for number in (6, 7, 9, 10)]
    (defect,) = of_kind(source.verify(), "defect")
    assert defect.where.endswith("peregine_falcon/8.png") and not defect.error


def test_too_few_pairs_for_the_support_set(tmp_path: Path) -> None:
    write_class(tmp_path, "zebra", range(1, 4))
    write_class(tmp_path, "yak", range(1, 8))
    source = Fss1000(root=tmp_path)
    with pytest.raises(UserError) as caught:
        source.split("test")
    assert caught.value.what.startswith("3 pairs") and caught.value.where.endswith("zebra")
    assert "fss1000[shots=2]" in caught.value.fix
    (finding,) = of_kind(source.verify(), "count")
    assert finding.error and finding.where.endswith("zebra")
    assert Fss1000(root=tmp_path, shots=2).found["train"] == 1 + 5


def test_shots_below_zero_are_refused() -> None:
    with pytest.raises(UserError, match=r"fss1000\[shots"):
        Fss1000(root=Path(), shots=-1)


def test_as_it_is_here(data: Path) -> None:
    root = data / "fss1000" / "fewshot_data"
    source = Fss1000(root=root, shots=2)
    assert source.found == {"train": 6, "val": 0, "test": 0}
    sample = source.split("train")[0]
    assert sample.id == "african_elephant/5"
    assert [other.id for other in sample.support] == ["african_elephant/3", "african_elephant/4"]
    assert sample.image.shape == (224, 224, 3) and sample.mask.shape == (224, 224) and sample.mask.any()
    assert [finding.kind for finding in source.verify()] == ["count"]
    with pytest.raises(UserError, match=r"5 pairs.*african_elephant.*shots=4"):
        Fss1000(root=root).split("test")
