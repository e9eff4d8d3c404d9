"""The columns of the bias report's tables of figures: what each is, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from bench.metrics.bias import BIASED
from bench.reports.sheets import Field

DATASET, BASE, REFINER = (Field(key=key, title=key) for key in ("dataset", "base", "refiner"))
IMAGES = Field(key="images", title="images", digits=0)


def _mean(key: str, title: str, meaning: str, *, points: bool = True, signed: bool = False) -> Iterable[Field]:
    """A mean over images and the ends of its interval; shares and gains in percent."""
    shown = {"digits": 1, "scale": 100, "signed": signed} if points else {"digits": 3, "signed": signed}
    yield Field(key=key, title=title, meaning=meaning, **shown)  # type: ignore[arg-type]
    for end in ("low", "high"):
        yield Field(key=f"{key}_{end}", title=end, **shown)  # type: ignore[arg-type]


ERRORS = (
    BASE,
    REFINER,
    IMAGES,
    *_mean(
        "error",
        "signed error",
        "map minus truth, mean over an image's pixels: above 0 the map is too high on the whole, below 0 too low",
        points=False,
        signed=True,
    ),
    *_mean(
        "absolute",
        "patch bias",
        "the same of each patch, without its sign, mean over an image's patches; where it is well above the size of "
        "the signed error, patches err in both directions",
        points=False,
    ),
    *_mean(
        "change",
        "change",
        "of patch bias from the base's own map to the row's, mean over the images that both have: below 0, with an "
        "interval that excludes 0, the refiner takes bias away",
        points=False,
        signed=True,
    ),
    *_mean("down", "% down", f"patches that are too low by more than {BIASED:g}, in percent of an image's patches"),
    *_mean("up", "% up", f"patches that are too high by more than {BIASED:g}"),
    *_mean("neither", "% neither", "the other patches"),
    *_mean(
        "both",
        "% images with both",
        "images that have patches of either kind: raising or lowering the whole map cannot mend them",
    ),
    Field(
        key="positions",
        title="SD positions",
        meaning="how much the signed error, averaged over the images, differs between the 8 x 8 positions of an image",
        digits=3,
    ),
    Field(
        key="chance",
        title="by chance",
        meaning="what SD positions would be if position made no difference: only what is well above it is a bias of "
        "places in the picture",
        digits=3,
    ),
    Field(
        key="ece",
        title="ECE",
        meaning="expected calibration error of all pixels, 15 bins: how far a probability is from the share of "
        "foreground among the pixels that have it, on average",
        digits=3,
    ),
)

THRESHOLDS = (
    BASE,
    REFINER,
    IMAGES,
    Field(key="mixed", title="patches", meaning="those that hold foreground and background; only they count", digits=0),
    Field(key="threshold_q1", title="quartile", digits=2),
    Field(
        key="threshold_median",
        title="median",
        meaning="of the patches' best thresholds by IoU, with both quartiles: below 0.5 a patch's map is too low",
        digits=2,
    ),
    Field(key="threshold_q3", title="quartile", digits=2),
    *_mean("near", "% within 0.1", "patches whose best threshold is within 0.1 of 0.5, in percent of an image's"),
    *_mean("below", "% below", "patches whose best threshold is below 0.4: too low"),
    *_mean("above", "% above", "patches whose best threshold is above 0.6: too high"),
    *_mean("gain", "IoU gain", "points of IoU in a patch that its best threshold gains over 0.5, mean over patches"),
)
