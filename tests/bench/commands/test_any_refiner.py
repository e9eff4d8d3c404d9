"""Refiners that are finished elsewhere, in a run: network files, and folders of refined maps."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bench
from bench.commands.run import RunResult
from bench.contracts import UserError
from bench.metrics.columns import COSTS
from bench.refiners.adapters.refined import Refined
from bench.store import Manifest, Store
from tests.bench.conftest import Toy
from tests.refiners.adapters.files import written
from tests.refiners.adapters.test_network_files import One

GUIDED = "guided-filter[radius=2]"


def options(toy: Toy, store: Path) -> Any:
    dataset = toy.dataset.replace("]", ",val=0.2,test=0.8]")
    return {"dataset": [dataset], "base": [toy.base], "store": store, "device": "cpu", "engine": "inline"}


def run(toy: Toy, *refiners: str, **more: Any) -> RunResult:
    return bench.run(refiner=refiners, **(options(toy, toy.maps.parent / "store") | more))


def refined(toy: Toy, name: str, *, format: Any = "npy") -> Path:
    """The maps that `bench refine` makes of all of the toy's."""
    out = toy.maps.parent / name
    bench.refine(refiner=GUIDED, images=toy.images, maps=toy.maps, out=out, format=format)
    return out


def cells(toy: Toy) -> dict[str, Manifest]:
    return {cell.refiner: cell for cell in Store(toy.maps.parent / "store").manifests()}


def records(toy: Toy, refiner: str) -> pd.DataFrame:
    return Store(toy.maps.parent / "store").records(cells(toy)[refiner]).set_index("id")


def row(result: RunResult, refiner: str) -> pd.Series[Any]:
    frame = result.table()
    return frame[frame.refiner == refiner].iloc[0]


@pytest.mark.parametrize(("format", "mae"), [("npy", 0.0), ("png16", 1 / 131070), ("png8", 1 / 510)])
def test_maps_that_refine_wrote_give_the_row_of_the_refiner_itself(toy: Toy, format: str, mae: float) -> None:
    refined(toy, "out", format=format)
    run(toy, GUIDED, f"refined[path={toy.maps.parent / 'out'}]")
    own, read = records(toy, GUIDED), records(toy, "refined[path=out]")
    costs = {cost.key for cost in COSTS} & {*own.columns}
    quality = own.columns.drop([*costs])
    assert {"iou", "boundary_iou", "mae"} <= {*quality} and own.index.equals(read.index)
    if format == "npy":
        pd.testing.assert_frame_equal(own[quality], read[quality], check_exact=True)
    else:
        assert (own.mae - read.mae).abs().max() <= mae
    # Nobody knows what it cost to make them; the base's own cost is known as ever.
    assert read[[*costs]].isna().all(axis=None) and own.seconds.notna().all() and read.base_seconds.notna().all()


def test_a_gap_is_counted_and_named_before_anything_is_computed(toy: Toy) -> None:
    out = refined(toy, "out")
    gone = [*run(toy, "identity").cells[0].ids["test"]][:4]
    shutil.rmtree(toy.maps.parent / "store")
    for name in gone:
        (out / f"{name}.npy").unlink()
    says = rf"4 of 8 samples have no refined map: {', '.join(gone[:3])}, \.\.\. .*refined\[missing=drop\]"
    with pytest.raises(UserError, match=says):
        run(toy, GUIDED, f"refined[path={out}]")
    assert not (toy.maps.parent / "store").exists()


def test_dropped_images_are_out_of_the_row_and_of_its_gain_alone(toy: Toy) -> None:
    out = refined(toy, "out")
    gone = sorted(run(toy, GUIDED).cells[0].ids["test"])[:3]
    for name in gone:
        (out / f"{name}.npy").unlink()
    result = run(toy, GUIDED, f"refined[path={out},missing=drop]")
    name = "refined[path=out,missing=drop]"
    base, own, read = (records(toy, one) for one in ("identity", GUIDED, name))
    assert len(base) == len(own) == 8 and sorted({*own.index} - {*read.index}) == gone
    assert read.iou.equals(own.iou.loc[read.index])
    assert row(result, name).iou_gain == pytest.approx((read.iou - base.iou.loc[read.index]).mean(), abs=1e-12)
    assert row(result, GUIDED).iou_gain == pytest.approx((own.iou - base.iou).mean(), abs=1e-12)
    (remark,) = cells(toy)[name].remarks
    assert remark.startswith("3 of 8 images have no refined map") and all(one in remark for one in gone)
    assert remark in result.report()


def test_maps_of_another_name_or_size_are_said(toy: Toy) -> None:
    out = refined(toy, "out")
    for file in sorted(out.glob("*.npy")):
        file.rename(out / f"{file.stem}_pred.npy")
    with pytest.raises(UserError, match=r"say refined\[path=...,map_pattern=\*_pred\]"):
        run(toy, f"refined[path={out},missing=drop]")
    run(toy, f"refined[path={out},map_pattern=*_pred]")
    for file in out.glob("*.npy"):
        np.save(file, np.load(file)[:12, :10])
    with pytest.raises(UserError, match=r"the map is 10x12 and its image 20x24 .*refined\[path=...,resize=true\]"):
        run(toy, f"refined[path={out},map_pattern=*_pred]")
    run(toy, f"refined[path={out},map_pattern=*_pred,resize=true]")


def test_the_contents_of_the_files_are_its_identity(toy: Toy) -> None:
    out = refined(toy, "out")
    run(toy, f"refined[path={out}]")
    moved = out.rename(toy.maps.parent / "moved")
    assert len(run(toy, f"refined[path={moved}]").reused) == 2
    file = min(moved.glob("*.npy"))
    np.save(file, np.load(file) / 2)
    assert len(run(toy, f"refined[path={moved}]").reused) == 1


def test_a_folder_is_of_one_base_unless_its_path_names_each(toy: Toy) -> None:
    other = toy.maps.parent / "other"
    bench.refine(refiner="morphology", images=toy.images, maps=toy.maps, out=other)
    both = [toy.base, f"maps[path={other}]"]
    with pytest.raises(UserError, match=re.escape("put {base}, {seed} or both into its path=")):
        run(toy, f"refined[path={refined(toy, 'out')}]", base=both)
    places = toy.maps.parent / "each"
    for name in ("maps", "other"):
        bench.refine(refiner=GUIDED, images=toy.images, maps=toy.maps.parent / name, out=places / f"maps[path={name}]",
                     format="npy")  # fmt: skip
    result = run(toy, GUIDED, f"refined[path={places}/{{base}}]", base=both)
    frame = result.table()
    assert frame[frame.refiner == "refined[path={base}]"].iou.tolist() == frame[frame.refiner == GUIDED].iou.tolist()
    assert frame.iou.nunique() > 2
    with pytest.raises(UserError, match=r"no such file or folder \(.*each/0\)"):
        run(toy, f"refined[path={places}/{{seed}}]")


def test_a_folder_that_is_missing_for_one_base_fails_that_cell_alone(toy: Toy) -> None:
    other = toy.maps.parent / "other"
    bench.refine(refiner="morphology", images=toy.images, maps=toy.maps, out=other)
    places = toy.maps.parent / "each"
    refined(toy, "each/maps[path=maps]")
    both = [toy.base, f"maps[path={other}]"]
    result = run(toy, f"refined[path={places}/{{base}}]", base=both, on_error="skip")
    (failure,) = result.failures.values()
    assert "no such file or folder" in failure and "maps[path=other]" in failure
    with pytest.raises(UserError, match=r"no such file or folder .*maps\[path=other\]"):
        run(toy, f"refined[path={places}/{{base}}]", base=both)


def test_a_folder_with_maps_of_other_images_alone_is_refused(toy: Toy) -> None:
    out = toy.maps.parent / "strange"
    out.mkdir()
    np.save(out / "nobody.npy", np.zeros((24, 20), np.float32))
    with pytest.raises(UserError, match="no test image has a map of"):
        run(toy, f"refined[path={out},missing=drop]")


def test_a_map_that_changes_while_it_is_used_is_no_part_of_the_row(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    out = refined(toy, "out")
    read = Refined.refine_named

    def changing(self: Refined, ids: Any, images: Any, maps: Any) -> Any:
        file = out / f"{ids[0]}.npy"
        np.save(file, np.load(file) / 2)
        return read(self, ids, images, maps)

    monkeypatch.setattr(Refined, "refine_named", changing)
    with pytest.raises(UserError, match=r"changed .*\.npy"):
        run(toy, f"refined[path={out}]")


def test_who_knows_no_names_is_not_given_it(toy: Toy) -> None:
    out = refined(toy, "out")
    with pytest.raises(UserError, match="goes by the images' names"):
        run(toy, f"gated[refiner=refined[path={out}]]")
    with pytest.raises(UserError, match=r"goes by the names of a dataset's images.*use it with 'bench run'"):
        bench.refine(refiner=f"refined[path={out}]", images=toy.images, maps=toy.maps, out=out / "again")


def test_a_run_says_what_does_not_fit_a_network_file_before_the_base_begins(toy: Toy) -> None:
    path = written("onnx", toy.maps.parent, One(4), torch.zeros(1, 4, 16, 24))
    with pytest.raises(UserError, match="unclear what goes in there"):
        run(toy, "identity", f"refiner-onnx[path={path}]")
    assert not [*(toy.maps.parent / "store").rglob("*.safetensors")]  # no map of the base
    fits = f"refiner-onnx[path={path},inputs=image+map]"
    skipped = run(toy, GUIDED, f"refiner-onnx[path={path}]", fits, on_error="skip")
    failed = [cell.refiner.spec for cell in skipped.cells if cell.manifest.key in skipped.failures]
    assert failed == [f"refiner-onnx[path={path}]"]
