"""What plugs in: samples, maps, datasets, base networks and refiners, with shapes and units.

Everything may import this module; it imports nothing of ours but what keeps secrets out of error lines.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypedDict, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.redaction import printable

Image: TypeAlias = NDArray[np.uint8]
"""``(H, W, 3)`` RGB, 0..255."""

ProbabilityMap: TypeAlias = NDArray[np.float32]
"""``(H, W)``, probability of foreground in [0, 1]. The paper calls it a "logit map"."""

Mask: TypeAlias = NDArray[np.bool_]
"""``(H, W)``: the ground truth, or a map binarised at ``>= DECISION``."""

Curve: TypeAlias = NDArray[np.floating[Any]]
"""``(L,)``: what a metric has for one image that is no single number, e.g. one value a threshold."""

Summary: TypeAlias = Literal["max", "mean", "none"]
"""How a table shows a curve: the largest or the mean over its positions, or not at all."""

Split: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

PROTOCOLS = {"A": "base on train, refiners on val", "B": "base on train and val"}
"""What is trained on which split. The paper's Table 1 calls them cases A (with a refiner that learns: C) and B."""

KEPT_RULES = {
    "best": "the highest gain in IoU",
    "median": "nearest to the median gain",
    "worst": "the lowest gain",
    "random": "drawn by name, the same for every refiner and base",
}
"""By what ``--keep-maps`` chooses images."""

DECISION = 0.5
"""A pixel is foreground where its probability is at least this."""


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers as an array that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


class UserError(Exception):
    """Something the user can fix: one line that says what, where and how; exit code 2.

    Args:
        what: what is wrong, e.g. ``"no such refiner 'pnr'"``.
        where: the file, key or option it stands in, e.g. ``"--refiner"``.
        fix: the way out, e.g. ``"did you mean 'prn'?"``.
    """

    def __init__(self, what: str, where: object, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, str(where), fix

    def __str__(self) -> str:
        return printable(f"{self.what} ({self.where}): {self.fix}")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its ground truth, at native size. Its arrays are read-only: who changes one copies it first.

    Attributes:
        id: unique in its dataset; file-system safe but for ``/``, which few-shot sets use (``class/3``).
        image: uint8 ``(H, W, 3)`` RGB.
        mask: bool ``(H, W)``.
        support: for few-shot sets, the labelled samples of the same class; else empty.
        ignore: bool ``(H, W)``, void pixels, which no metric counts; they are background in ``mask``. None for none.
    """

    id: str
    image: Image
    mask: Mask
    support: tuple[Sample, ...] = ()
    ignore: Mask | None = None

    def __post_init__(self) -> None:
        # Samples are handed to plug-ins: what one of them wrote here would change its own and others' numbers.
        for name in ("image", "mask", "ignore"):
            array = getattr(self, name)
            if isinstance(array, np.ndarray):
                object.__setattr__(self, name, read_only(array))


@runtime_checkable
class TellsReading(Protocol):
    """A dataset, base or refiner that finds out what the numbers in its files mean (optional)."""

    def reading(self) -> str:
        """What its files are taken for, e.g. ``"masks: 8-bit, values 0 and 255"``. Raises UserError where unclear."""
        ...


class Dataset(Protocol):
    """One split: a sequence that reads a sample from disk when it is asked for, and keeps none."""

    name: str
    split: Split

    @property
    def ids(self) -> Sequence[str]:
        """Sample ids, in the order of the split."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample:
        """Raises UserError that names the file where one is missing, unreadable or of another size."""
        ...

    def fingerprint(self) -> str:
        """Hex digest of the ids and of the contents of every file a sample is read from."""
        ...


@runtime_checkable
class SideBySide(Protocol):
    """A dataset that says whether several threads may read its samples side by side (optional).

    Attributes:
        side_by_side: they may; of one that says nothing, a sample is read when the last one has been used.
    """

    @property
    def side_by_side(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``bench data verify`` found.

    Attributes:
        kind: ``count``, ``unreadable``, ``size``, ``non-binary``, ``defect`` or ``stray``.
        where: the file or folder.
        message: what it is, and what the harness does about it.
        error: whether a run would stop or be wrong because of it; False where it is handled.
    """

    kind: str
    where: str
    message: str
    error: bool


class DatasetSource(Protocol):
    """What plugs in under ``bench.datasets``: a dataset with its three splits.

    The class is constructed as ``Class(root=Path, **parameters)``: ``root`` is the folder that
    ``[datasets]`` of bench.toml gives; parameters are the other keyword-only arguments. Nothing is read
    before `split` or `verify` is called.
    """

    name: str

    def split(self, split: Split) -> Dataset:
        """The split, possibly empty. Raises UserError where the folder or a listing is missing."""
        ...

    @property
    def expected(self) -> Mapping[Split, int]:
        """Number of samples a complete copy has in each split; empty where that is not fixed."""
        ...

    def completeness(self) -> str:
        """E.g. ``"6 of 6226 pairs"`` for a partial copy; "" for a complete one, or where no count is expected."""
        ...

    def verify(self) -> list[Finding]:
        """Read every file once and list what is not as the dataset's authors published it."""
        ...


class Episode(TypedDict):
    """One class's pairs by their part: sample ids, by number.

    Attributes:
        support: what a few-shot base sees with its mask.
        query: what it is asked for.
    """

    support: list[str]
    query: list[str]


@runtime_checkable
class Episodic(Protocol):
    """A dataset whose samples carry a support: the fixed assignment, which a run records beside a base's maps."""

    def episodes(self, split: Split) -> dict[str, Episode]:
        """Class -> its episode, as the samples of the split carry it."""
        ...


@runtime_checkable
class Ledgered(Protocol):
    """A dataset that says which published image sets its splits are taken from, for the contamination ledger.

    Attributes:
        corpora: split -> names of image sets, as `PubliclyTrained.trained_on` spells them: ``MSRA-10K``, ``DUTS-TR``,
            ``DUTS-TE``, ``ECSSD``, ``FSS-1000``, ``Kvasir-SEG``, ``DeepGlobe``.
    """

    corpora: Mapping[Split, tuple[str, ...]]


@runtime_checkable
class Published(Protocol):
    """A dataset that ``bench data prepare`` can lay out from the archives that its authors publish.

    Attributes:
        published: on the class, the files that belong to it, as patterns of their paths below ``root``:
            ``"images/*.jpg"``. ``*``, ``?`` and ``[1-9]`` stand for parts of one name. Folders above, in the archive,
            are passed over; where the archive lacks the first ones of a pattern, they are made.
    """

    published: ClassVar[tuple[str, ...]]


class MapDataset(Protocol):
    """A split with the base's maps: what a refiner is fitted on. Reads lazily, keeps nothing."""

    @property
    def ids(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        """The sample and its float32 map of the same ``(H, W)``."""
        ...


class Plugin(Protocol):
    """What the registry reads off any base, refiner or metric class before it makes one.

    A class that derives from its contract (`BaseNetwork`, `Refiner` or `Metric`) gets every default that stands here
    and there: it says what differs, and computes. One that has the same members and derives from nothing works as well.

    A class is constructed with keyword-only parameters, each annotated and with a default, so that
    ``name[key=value]`` can set them. ``device`` (``"cpu"`` or ``"cuda"``) and ``seed`` (int) are filled in
    by the harness where the constructor takes them, and are no parameters. A parameter annotated
    ``Path`` or ``Path | None`` is a file or folder whose contents enter the cell's identity.

    A parameter annotated `Refiner`, without a default, or ``Refiner | None = None`` is another refiner, which the user
    names as anywhere: ``name[key=prn[size=96]]``. The constructor is given it made, with the same ``device`` and
    ``seed``, and not fitted. Where it is ``trainable``, so is the plug-in that takes it: `Refiner.fit` calls that of
    the other one, with the folder ``workdir / KEY``, KEY being the parameter's name, and `Checked.check_fit` likewise;
    what a cell of the other one has learned already from the same val is put there first. One that needs the ground
    truth or asks the base is refused.

    Attributes:
        requires: importable module names it needs beyond the core install; none unless it says so.
        extra: the extra of this package that installs them; "", where it is not one of ours, is the default.
        version: 1, raised by the author when the numbers change though the parameters do not.
    """

    requires: tuple[str, ...] = ()
    extra: str = ""
    version: int = 1

    def __init__(self) -> None:
        """A class without a constructor of its own has no parameters."""
        # Without this one, typing would give it (*args, **kwargs).
        super().__init__()


class Metric(Plugin, Protocol):
    """What plugs in under ``bench.metrics``: a number or a curve for one image's map, beside the built-in ones.

    The attributes are read off the metric once it is made: they may follow from its parameters.

    Attributes:
        title: the column's heading.
        meaning: one sentence for the legend, without a full stop.
        better: which end is good.
        scale: factor from the stored to the shown unit; 100 shows a fraction in points.
        digits: decimals shown.
        curve: 0 for a number; else the length of the vector that it returns for every image.
        summary: what a row of a table shows of a curve, once each position is averaged over the images: ``max`` or
            ``mean`` over the positions; ``none`` leaves it out of the tables, and in the records.
    """

    title: str
    meaning: str
    better: Literal["higher", "lower"]
    scale: float
    digits: int
    curve: int = 0
    summary: Summary = "mean"

    @abstractmethod
    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float | Curve:
        """The value of one map ``(H, W)`` against its mask ``(H, W)``; NaN where it is undefined. Changes neither.

        Returns:
            A float; with ``curve``, ``(curve,)`` of a float dtype, where single positions may be NaN.
        """
        ...


@runtime_checkable
class PubliclyTrained(Protocol):
    """A base or refiner whose weights were trained, by others, on image sets that a test may be taken from.

    Attributes:
        trained_on: names of those sets, see `Ledgered.corpora`; empty where the weights in use saw none of them.
    """

    trained_on: tuple[str, ...]


@runtime_checkable
class RefersToFiles(Protocol):
    """A plug-in whose file may refer to others, e.g. an ONNX network with its weights beside it.

    Their contents enter the cell's identity with those of the file.
    """

    @staticmethod
    def referred_files(path: Path) -> Mapping[str, Path]:
        """The other files, by the names that the file at ``path`` has for them.

        Raises:
            UserError: the file cannot be read, or one that it names is missing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers from ``low`` to ``high``, both included: whole ones where both ends are ints.

    Attributes:
        log: the scale on which values are equally likely is logarithmic.
    """

    low: float
    high: float
    log: bool = False


SearchSpace: TypeAlias = Mapping[str, Span | tuple[str | int | float | bool, ...]]
"""Parameter -> the values that ``bench tune`` may give it: a span, or a choice of some."""


@runtime_checkable
class Tunable(Protocol):
    """A refiner whose parameters can be searched on val.

    Attributes:
        search_space: on the class. With the defaults of the other parameters every combination in it must make a
            refiner; what does not go with a parameter that the user gives is not offered.
    """

    search_space: ClassVar[SearchSpace]


@dataclass(frozen=True, slots=True)
class Budget:
    """What refining one image of 512 x 512 pixels costs at most, on one CPU core.

    Attributes:
        seconds: wall time.
        memory_mb: growth of the process's resident memory while it is refined, MiB.
    """

    seconds: float
    memory_mb: float


@runtime_checkable
class Costed(Protocol):
    """A refiner that declares its cost; ``bench check`` measures whether it keeps to it.

    Attributes:
        cost: on the class, with the default parameters; where it has to be given a refiner, with ``threshold``.
    """

    cost: ClassVar[Budget]


class BaseNetwork(Plugin, Protocol):
    """Maps an RGB image to a probability map.

    Attributes:
        trainable: `fit` has something to learn (no checkpoint was given); False unless it says so.
    """

    trainable: bool = False

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """Train, or load what an earlier, finished call left in ``workdir``; resume an unfinished one.

        ``val`` serves to choose the best epoch; it is empty under protocol B, where ``train`` holds its samples.
        The default learns nothing.
        """
        return

    @abstractmethod
    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """Maps at each sample's own size. Must not look at ``sample.mask`` (``support`` is allowed)."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A base or refiner that can tell, before anything of a run is computed, whether its `fit` can begin."""

    def check_fit(self) -> None:
        """Look for what `fit` needs beside the samples: weights to begin from, a size that the network takes.

        It may download, but takes seconds where that fails. A run asks those that are yet to be fitted.

        Raises:
            UserError: it is not to be had.
        """
        ...


@runtime_checkable
class ChecksFiles(Protocol):
    """A refiner that reads its files when it first refines, and can tell before whether they are what it takes."""

    def check_files(self) -> None:
        """Look at them. A run asks before anything is computed, of the device that the refiner will be used on.

        Raises:
            UserError: they are not, or cannot be used there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Description:
    """What a base network is, for ``bench list bases --verbose``.

    Attributes:
        parameters: trainable ones.
        multiply_adds: of one image at the base's own input size.
        input: size, channel order and normalisation.
        recipe: loss, optimiser, schedule, epochs and batch.
        licence: paper, its authors' code and that code's licence.
    """

    parameters: int
    multiply_adds: int
    input: str
    recipe: str
    licence: str


@runtime_checkable
class Described(Protocol):
    """A base that can say what it is, without a checkpoint or a dataset."""

    def describe(self) -> Description: ...


@runtime_checkable
class PartialBase(Protocol):
    """A base that may have maps for some of the samples only (maps on disk)."""

    def covered(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` it has maps for. Raises UserError where a gap is not to be passed over."""
        ...


@runtime_checkable
class OfSamples(Protocol):
    """A plug-in that has a file for each sample: of those, a part of a large split needs its own alone.

    Without it each part of a split has all files of the plug-in sent along, and checked.
    """

    def of_samples(self, ids: Sequence[str]) -> tuple[Plugin, Sequence[Path]]:
        """Itself for these samples alone, and the files that this one reads.

        It is picklable, and does for them what the whole would, without a look at other files: what that takes from all
        of them, such as how they are coded, is found out before.
        """
        ...


class Refiner(Plugin, Protocol):
    """Maps (image, probability map) to a probability map of the same size.

    Attributes:
        trainable: `fit` is called on val maps before `refine`; False unless it says so.
        uses_ground_truth: True only for oracles, which the report sets apart; False unless it says so.
    """

    trainable: bool = False
    uses_ground_truth: bool = False

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Learn from val, or load what an earlier, finished call left in ``workdir``; resume an unfinished one.

        The default learns nothing.
        """
        return

    @abstractmethod
    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """New float32 maps in [0, 1], of the same sizes; the inputs are not changed."""
        ...


@runtime_checkable
class Oracle(Refiner, Protocol):
    """A refiner that is told the ground truth: a bound on what others can reach, set apart in every report.

    ``uses_ground_truth`` is True, and `refine_knowing` is called in place of `refine`.
    """

    uses_ground_truth: bool = True

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """Raises RuntimeError: without the masks there is no bound."""
        raise RuntimeError("an oracle needs the masks: call refine_knowing")

    @abstractmethod
    def refine_knowing(
        self, images: Sequence[Image], maps: Sequence[ProbabilityMap], masks: Sequence[Mask]
    ) -> list[ProbabilityMap]:
        """As `refine`; the masks are of the maps' sizes."""
        ...


@runtime_checkable
class GoesByName(Refiner, Protocol):
    """A refiner that has the maps of some images already, and finds them by the images' ids.

    `refine_named` is called in place of `refine`, and what it costs is not recorded: that was spent elsewhere. It
    stands alone: no other refiner can be given it.
    """

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """Raises UserError: whoever calls it does not know what the images are called."""
        fix = "use it alone, with 'bench run'"
        raise UserError("it goes by the names of a dataset's images, which it is not told here", "--refiner", fix)

    @abstractmethod
    def covered(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` that it has maps for; the others are left out of its row.

        Raises:
            UserError: a gap is not to be passed over.
        """
        ...

    @abstractmethod
    def refine_named(
        self, ids: Sequence[str], images: Sequence[Image], maps: Sequence[ProbabilityMap]
    ) -> list[ProbabilityMap]:
        """As `refine`; the ids are those of the samples."""
        ...


@runtime_checkable
class AsksBase(Protocol):
    """A refiner that asks the base for maps of other images, e.g. of the image flipped."""

    def ask(self, base: Callable[[Sequence[Image]], list[ProbabilityMap]]) -> None:
        """Take the base's prediction in, before `fit` and `refine`: images -> maps of the same sizes."""
        ...


@runtime_checkable
class Exportable(Protocol):
    """A refiner that ``bench export`` can write as a file that needs none of this project to run."""

    def export_onnx(self, path: Path) -> None:
        """Write the trained refiner as one ONNX file, whole or not at all."""
        ...


@runtime_checkable
class CrossFitted(Protocol):
    """A refiner that learns several times from parts of val, so that each val image has been left out once."""

    def refine_unseen(self, val: MapDataset, index: int) -> ProbabilityMap:
        """The map of val's image ``index`` as refined by what learned without it: `Refiner.refine`'s in all else.

        For after `fit`, with the val that it was given.
        """
        ...
