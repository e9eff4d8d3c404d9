"""A study from Python: two bases, four refiners, and what comes out as data frames and as a LaTeX table.

    python examples/study.py [STORE]

Everything is small so that it ends within a minute on a CPU. The numbers show how a study is done; they say nothing of
real images. A plain script will do: no `if __name__ == "__main__"` is needed, also with `workers=2`.
"""

from __future__ import annotations

import re
import sys

import bench


def short(base: str) -> str:
    """``smp[arch=unet,size=64,...]`` -> ``unet``."""
    return re.sub(r".*arch=(\w+).*", r"\1", base)


store = sys.argv[1] if len(sys.argv) > 1 else "runs/study"

result = bench.run(
    # Names and parameters are those of the command line. This dataset is drawn, not downloaded.
    dataset=["quickstart[size=64,train=64,val=16,test=16]"],
    # Two weak bases. Encoders start at random: ImageNet weights would be downloaded.
    base=[
        "smp[arch=linknet,encoder=resnet18,encoder_weights=none,size=64,epochs=5,lr=0.001,batch=8]",
        "smp[arch=unet,encoder=resnet18,encoder_weights=none,size=64,epochs=5,lr=0.001,batch=8]",
    ],
    # `identity` leaves the map as it is: gains are measured against it. `threshold` learns one number from val.
    refiner=["identity", "threshold", "guided-filter", "morphology"],
    store=store,
    # In this process and not each stage in one of its own: faster to start. For costs that you report, leave it out.
    engine="inline",
)
# Run it again: the cells are in the store, and nothing is computed.
print(f"{len(result.cells)} cells, {len(result.reused)} of them from an earlier run")

# One row a base and refiner, with the gain over the base itself and its 95 % interval.
table = result.table()
table["base"] = table["base"].map(short)
print(
    table[["base", "refiner", "iou", "iou_gain", "iou_gain_low", "iou_gain_high"]].to_string(
        index=False, float_format="{:.3f}".format
    )
)

# One row an image and cell, for statistics of your own: on how many images does a refiner help each base?
records = result.records()
records["base"] = records["base"].map(short)
iou = records.pivot(index=["base", "id"], columns="refiner", values="iou")
helped = iou.drop(columns="identity").gt(iou["identity"], axis=0)
print("\nshare of the test images that got better:")
print(helped.groupby("base").mean().T.to_string(float_format="{:.0%}".format))

# The tables of `bench report`, for a paper: also "markdown" and "csv".
latex = result.report("latex")
print(f"\nthe LaTeX report has {len(latex.splitlines())} lines")

# Later, or elsewhere, the folder alone gives the same.
assert bench.load(store).table()["iou"].equals(table["iou"])
