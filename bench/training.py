"""One training loop for bases and trainable refiners: Lightning underneath, nothing of it on the outside.

A training reads fixed-shape samples from disk, saves its whole state after every epoch, and ends in
``workdir/weights.safetensors``. Killed and started again it ends with the same weights, bit for bit on a CPU,
as one that was not: the order of the samples, their augmentation and the random numbers of a step (dropout)
are functions of the seed, the epoch and the step, so that no generator's state has to survive.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import DTypeLike
from rich.progress import Progress, TaskID
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from bench.contracts import UserError
from bench.files import replacing
from bench.progress import bar, track

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]

WEIGHTS = "weights.safetensors"
CHECKPOINT = "resume.ckpt"
LOG = "training.csv"
LOG_COLUMNS = ("epoch", "lr", "loss", "validation", "seconds")

Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, as data.

    Attributes:
        epochs: at most this many passes over the samples.
        batch: samples a step; the last step of an epoch may have fewer.
        lr: Adam's learning rate at the first step; it follows half a cosine down to `lr_end` at the last one.
        lr_end: see `lr`.
        patience: stop after this many epochs without a better monitored value; None trains all epochs. The value
            is `train`'s ``validate`` where given (higher is better), else the epoch's mean training loss (lower).
        weight_decay: decoupled (AdamW), a step; 0 is plain Adam.
        precision: ``bf16-mixed`` computes convolutions in bfloat16 while weights and optimiser stay float32; see
            `fast_precision`. On a CPU with AVX512-BF16 a U-Net's step takes 0.6 of the time.
    """

    epochs: int
    batch: int
    lr: float
    lr_end: float = 0.0
    patience: int | None = None
    weight_decay: float = 0.0
    precision: Precision = "32-true"


def fast_precision(device: str) -> Precision:
    """``bf16-mixed`` where the hardware computes in bfloat16 itself; elsewhere it would be slower than float32."""
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return "bf16-mixed" if native else "32-true"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build a network under this: its weights depend on ``seed`` alone, and the caller's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def save_weights(network: nn.Module, path: Path) -> None:
    """Write parameters and buffers as safetensors, renamed into place."""
    with replacing(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, temporary)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote.

    Raises:
        UserError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError("no such weights", path, "name the file that a training wrote") from None
    except (SafetensorError, OSError, RuntimeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(f"unfit weights, {problem}", path, "delete the file to train again, or name another") from None


def load_finished(network: nn.Module, workdir: Path) -> bool:
    """Load the weights of a finished training, if there is one, and put the network into eval mode.

    Ask this before you build the samples: `train` would not read them.
    """
    if not (workdir / WEIGHTS).is_file():
        return False
    load_weights(network, workdir / WEIGHTS)
    network.eval()
    return True


class TrainingArrays:
    """Fixed-shape samples on disk, one ``.npy`` a field, memory-mapped: memory does not grow with their number.

    Every field's first axis counts the samples. A sample's field of two or more axes is spatial: its last two are
    rows and columns, equal in number, and are turned and flipped jointly. A field of fewer axes is left alone.

    Args:
        folder: what `build` filled.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = json.loads((folder / "done.json").read_text())["fields"]
        self._fields = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}

    @classmethod
    def build(
        cls,
        folder: Path,
        count: int,
        fields: Mapping[str, tuple[tuple[int, ...], DTypeLike]],
        fill: Callable[[int], Mapping[str, np.ndarray]],
        description: str,
    ) -> TrainingArrays:
        """Write ``count`` samples, or reuse what an earlier, finished call with the same fields left.

        Args:
            folder: scratch; `train` removes it when it is done with it.
            count: number of samples.
            fields: name -> (shape, dtype) of one sample's field.
            fill: index -> the sample's fields, in those shapes.
            description: for the progress bar.

        Raises:
            UserError: ``count`` is 0.
        """
        if count == 0:
            raise UserError("no samples to train on", description, "the split it trains on is empty, give it samples")
        for name, (shape, _) in fields.items():
            if len(shape) >= 2 and shape[-1] != shape[-2]:
                raise ValueError(f"field {name!r} of shape {shape}: rows and columns must be equal in number")
        plan = {"count": count, "fields": {name: [list(shape), np.dtype(t).str] for name, (shape, t) in fields.items()}}
        marker = folder / "done.json"
        if not marker.is_file() or json.loads(marker.read_text()) != plan:
            marker.unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            arrays = {
                name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.dtype(dtype), (count, *shape))
                for name, (shape, dtype) in fields.items()
            }
            for index in track(range(count), description, total=count):
                sample = fill(index)
                for name, array in arrays.items():
                    array[index] = sample[name]
            for array in arrays.values():
                array.flush()
            with replacing(marker) as temporary:
                temporary.write_text(json.dumps(plan))
        return cls(folder)

    def __len__(self) -> int:
        return len(next(iter(self._fields.values())))

    def sample(self, index: int, turn: int = 0) -> Batch:
        """A copy of one sample's fields; ``turn`` 0..7 picks the element of the square's symmetry group."""
        return {name: torch.from_numpy(_turned(array[index], turn)) for name, array in self._fields.items()}

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, as they were written, stacked ``size`` at a time."""
        for start in range(0, len(self), size):
            samples = [self.sample(index) for index in range(start, min(start + size, len(self)))]
            yield torch.utils.data.default_collate(samples)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _turned(array: np.ndarray, turn: int) -> np.ndarray:
    if array.ndim >= 2:
        array = np.rot90(array, turn % 4, axes=(-2, -1))
        array = np.flip(array, axis=-1) if turn >= 4 else array
    return np.array(array)


class _Samples(Dataset[Batch]):
    def __init__(self, data: TrainingArrays) -> None:
        self.data = data

    def __getitem__(self, index: tuple[int, int]) -> Batch:
        return self.data.sample(*index)


class _Order(Sampler[tuple[int, int]]):
    """Pairs (index, turn) of one epoch; Lightning calls `set_epoch`."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        draw = np.random.default_rng([self.seed, self.epoch])
        turns = draw.integers(8, size=self.count)
        return ((int(index), int(turns[index])) for index in draw.permutation(self.count))


class _Training(pl.LightningModule):
    network: nn.Module

    def __init__(self, network: nn.Module, loss: Loss, recipe: Recipe, steps: int, seed: int) -> None:
        super().__init__()
        self.network, self.loss, self.recipe, self.steps, self.seed = network, loss, recipe, steps, seed

    def training_step(self, batch: Batch) -> Tensor:
        # Dropout draws from torch's generator: tie it to the step, so that a resumed training draws the same.
        torch.manual_seed(int(np.random.SeedSequence([self.seed, self.global_step]).generate_state(1)[0]))
        return self.loss(self.network, batch)

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        adam = torch.optim.AdamW(self.network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, recipe.epochs * self.steps, recipe.lr_end)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


class _Bookkeeping(pl.Callback):
    """After every epoch: monitor, keep the best weights, stop early, write the log, save the state."""

    def __init__(
        self,
        recipe: Recipe,
        workdir: Path,
        title: str,
        validate: Callable[[nn.Module], float] | None,
        progress: Progress,
        task: TaskID,
    ) -> None:
        self.recipe, self.workdir, self.title, self.validate = recipe, workdir, title, validate
        self.progress, self.task = progress, task
        self.rows: list[list[float]] = []
        self.best = -math.inf
        self.best_weights: dict[str, Tensor] = {}
        self.stale = 0
        self._begin_epoch()

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("rows", "best", "best_weights", "stale")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def _begin_epoch(self) -> None:
        self.began, self.loss_sum, self.seen = time.perf_counter(), torch.zeros((), dtype=torch.float64), 0

    def _stop_if_stale(self, trainer: pl.Trainer) -> None:
        trainer.should_stop = self.recipe.patience is not None and self.stale >= self.recipe.patience

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_stale(trainer)
        self.progress.update(self.task, completed=trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        size = len(next(iter(batch.values())))
        # Summed where the loss lives: reading it every step would make a GPU wait.
        self.loss_sum = self.loss_sum.to(outputs["loss"].device) + outputs["loss"].detach() * size
        self.seen += size
        self.progress.advance(self.task)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, _Training)
        network, epoch = pl_module.network, len(self.rows) + 1
        loss = self.loss_sum.item() / self.seen
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} in epoch {epoch}", self.title, "train with a lower lr")
        validation = math.nan
        if self.validate is not None:
            with torch.no_grad():
                validation = self.validate(network.eval())
            network.train()
        monitored = -loss if self.validate is None else validation
        if monitored > self.best:
            self.best, self.stale = monitored, 0
            self.best_weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        else:
            self.stale += 1
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append([epoch, rate, loss, validation, time.perf_counter() - self.began])
        self.progress.update(self.task, loss=f"epoch {epoch} loss {loss:.4f}")
        self._write_log()
        with replacing(self.workdir / CHECKPOINT) as temporary:
            trainer.save_checkpoint(temporary)
        self._stop_if_stale(trainer)
        self._begin_epoch()

    def _write_log(self) -> None:
        with replacing(self.workdir / LOG) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(LOG_COLUMNS)
            for epoch, *values in self.rows:
                writer.writerow([epoch, *("" if math.isnan(value) else f"{value:.6g}" for value in values)])


@contextmanager
def _quiet() -> Iterator[None]:
    chatter = logging.getLogger("lightning.pytorch")
    level = chatter.level
    chatter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        chatter.setLevel(level)


def train(
    network: nn.Module,
    loss: Loss,
    data: TrainingArrays,
    recipe: Recipe,
    *,
    workdir: Path,
    device: str,
    seed: int,
    title: str,
    validate: Callable[[nn.Module], float] | None = None,
    finish: Callable[[nn.Module], None] | None = None,
) -> None:
    """Train ``network`` in place; load a finished training's weights instead, or resume an unfinished one.

    Ends with the weights of the best epoch: the highest ``validate``, or without it the lowest mean training loss.
    Then ``workdir`` holds ``weights.safetensors`` and ``training.csv`` (a row an epoch); the network is on
    ``device``, in eval mode; ``data`` is removed.

    Args:
        network: with the initial weights (see `seeded`). In channels-last layout a U-Net's step on a CPU takes 0.8 of
            the time; that is the caller's choice, as oneDNN has a defect there (issue 6035: strided 1x1 convolutions
            of fewer than 16 channels).
        loss: network in train mode and a batch on ``device``, fields stacked on a new first axis -> scalar loss.
            Under ``bf16-mixed`` the network's outputs are bfloat16: go on from ``.float()``.
        data: the samples; each is turned and flipped at random in every epoch.
        recipe: epochs, rates, patience, precision.
        workdir: this training's own folder.
        device: ``"cpu"`` or ``"cuda"``.
        seed: of the order, the augmentation and dropout.
        title: names the training in progress and errors.
        validate: network in eval mode, without gradients -> the value to monitor, after every epoch.
        finish: called once with the best weights before they are saved, e.g. to re-estimate batch norm's statistics.

    Raises:
        UserError: the loss became NaN or infinite, or the saved weights do not fit.
    """
    if not load_finished(network, workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        # The fork keeps the caller's generators as they were.
        with _quiet(), torch.random.fork_rng():
            best = _fit(network, loss, data, recipe, workdir, device, seed, title, validate)
        network.load_state_dict(best)
        network.to(device)
        if finish is not None:
            finish(network)
        save_weights(network, workdir / WEIGHTS)
        (workdir / CHECKPOINT).unlink()
    data.remove()
    network.to(device).eval()


def _fit(
    network: nn.Module,
    loss: Loss,
    data: TrainingArrays,
    recipe: Recipe,
    workdir: Path,
    device: str,
    seed: int,
    title: str,
    validate: Callable[[nn.Module], float] | None,
) -> dict[str, Tensor]:
    """Run Lightning from the checkpoint, if any, to the end; the best epoch's weights."""
    loader = DataLoader(_Samples(data), recipe.batch, sampler=_Order(len(data), seed))
    module = _Training(network.train(), loss, recipe, len(loader), seed)
    with bar("{task.fields[loss]}") as progress:
        task = progress.add_task(title, total=recipe.epochs * len(loader), loss="")
        books = _Bookkeeping(recipe, workdir, title, validate, progress, task)
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision=recipe.precision,
            max_epochs=recipe.epochs,
            callbacks=[books],
            default_root_dir=workdir,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        checkpoint = workdir / CHECKPOINT
        trainer.fit(module, loader, ckpt_path=checkpoint if checkpoint.is_file() else None, weights_only=True)
    return books.best_weights
