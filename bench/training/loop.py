"""The epochs of a training, by Lightning. Imported when a training starts: it takes seconds."""

from __future__ import annotations

import copy
import csv
import importlib.util
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger
from rich.progress import Progress, TaskID
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, Sampler

from bench.contracts import UserError
from bench.runtime.files import replacing
from bench.runtime.progress import bar
from bench.training.arrays import Batch, TrainingArrays
from bench.training.optimisers import BY_PLATEAU, Groups, by_step, optimiser, plateau
from bench.training.recipe import Augment, Loss, Recipe, mixed, seeded

CHECKPOINT = "resume.ckpt"
LOG = "training.csv"
LOG_COLUMNS = ("epoch", "lr", "loss", "validation", "seconds")


class _Samples(Dataset[Batch]):
    def __init__(self, data: TrainingArrays, augment: Augment) -> None:
        self.data, self.augment = data, augment

    def __getitem__(self, drawn: _Drawn) -> Batch:
        if self.augment == "turns":
            return self.data.sample(drawn.number, drawn.turn)
        sample = self.data.sample(drawn.number)
        if self.augment == "none":
            return sample
        with seeded(mixed(*drawn.entropy)):
            return self.augment(sample)


class _Drawn(NamedTuple):
    """One sample of an epoch: which, how it is turned, or what its augmentation draws from."""

    number: int
    turn: int
    entropy: tuple[int, int, int]


class _Order(Sampler[_Drawn]):
    """This process's samples of one epoch; Lightning calls `set_epoch`."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.count / _processes()[1])

    def __iter__(self) -> Iterator[_Drawn]:
        draw = np.random.default_rng([self.seed, self.epoch])
        turns = draw.integers(8, size=self.count)
        order = draw.permutation(self.count)
        rank, processes = _processes()
        # Every process needs as many steps as the others: some samples serve twice where they do not come out even.
        order = np.resize(order, len(self) * processes)[rank::processes]
        return (_Drawn(index, int(turns[index]), (self.seed, self.epoch, index)) for index in order.tolist())


def _processes() -> tuple[int, int]:
    """This process's number, and how many share the training."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class _Training(pl.LightningModule):
    network: nn.Module

    def __init__(
        self, network: nn.Module, loss: Loss, recipe: Recipe, steps: int, seed: int, groups: Groups | None
    ) -> None:
        super().__init__()
        self.network, self.loss, self.recipe, self.steps, self.seed = network, loss, recipe, steps, seed
        self.groups = groups or [{"params": list(network.parameters())}]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Dropout draws from torch's generator: tie it to the step, so that a resumed training draws the same.
        torch.manual_seed(mixed(self.seed, self.global_step, batch_idx % self.recipe.accumulate, _processes()[0]))
        return self.loss(self.network, batch)

    def configure_optimizers(self) -> Any:
        chosen = optimiser(self.groups, self.recipe)
        schedule = by_step(chosen, self.recipe, self.recipe.epochs * self.steps, self.steps)
        if schedule is None:
            return chosen
        return {"optimizer": chosen, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


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
        self.plateau: ReduceLROnPlateau | None = None
        self.plateau_state: dict[str, Any] = {}
        self._begin_epoch()

    def state_dict(self) -> dict[str, Any]:
        if self.plateau is not None:
            self.plateau_state = self.plateau.state_dict()
        return {name: getattr(self, name) for name in ("rows", "best", "best_weights", "stale", "plateau_state")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def _begin_epoch(self) -> None:
        self.began, self.loss_sum, self.seen = time.perf_counter(), torch.zeros((), dtype=torch.float64), 0

    def _stop_if_stale(self, trainer: pl.Trainer) -> None:
        trainer.should_stop = self.recipe.patience is not None and self.stale >= self.recipe.patience

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_stale(trainer)
        if self.recipe.schedule in BY_PLATEAU:
            self.plateau = plateau(trainer.optimizers[0], self.recipe)
            if self.plateau_state:
                self.plateau.load_state_dict(self.plateau_state)
        self.progress.update(self.task, completed=trainer.fit_loop.total_batch_idx + 1)

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
        loss = self._mean_loss(trainer)
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} in epoch {epoch}", self.title, "train with a lower lr")
        validation = math.nan
        if self.validate is not None:
            with torch.no_grad():
                validation = self.validate(network.eval())
            network.train()
            # Of several processes the first one's: their batch norms differ until the next step.
            validation = trainer.strategy.broadcast(validation)
        monitored = -loss if self.validate is None else validation
        if monitored > self.best:
            self.best, self.stale = monitored, 0
            self.best_weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        else:
            self.stale += 1
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if self.plateau is not None:
            self.plateau.step(monitored)
        self.rows.append([epoch, rate, loss, validation, time.perf_counter() - self.began])
        self.progress.update(self.task, loss=f"epoch {epoch} loss {loss:.4f}")
        self._write(trainer)
        self._stop_if_stale(trainer)
        self._begin_epoch()

    def _mean_loss(self, trainer: pl.Trainer) -> float:
        """The epoch's mean over the samples of all processes."""
        sums = torch.stack([self.loss_sum, torch.tensor(self.seen, dtype=torch.float64, device=self.loss_sum.device)])
        total, seen = trainer.strategy.reduce(sums, reduce_op="sum").tolist() if _processes()[1] > 1 else sums.tolist()
        return float(total / seen)

    def _write(self, trainer: pl.Trainer) -> None:
        """The log and the state; the first process writes, but all of them enter Lightning's barrier."""
        for logger in trainer.loggers:
            named = dict(zip(LOG_COLUMNS[1:], self.rows[-1][1:], strict=True))
            logger.log_metrics({k: v for k, v in named.items() if not math.isnan(v)}, step=len(self.rows))
            logger.save()
        if trainer.is_global_zero:
            self._write_log()
            with replacing(self.workdir / CHECKPOINT) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(self.workdir / CHECKPOINT)

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


@_quiet()
def fit(
    network: nn.Module,
    loss: Loss,
    data: TrainingArrays,
    recipe: Recipe,
    workdir: Path,
    device: str,
    seed: int,
    title: str,
    validate: Callable[[nn.Module], float] | None,
    augment: Augment,
    groups: Groups | None,
    least: int,
) -> dict[str, Tensor]:
    """Train from the checkpoint in ``workdir``, if any, to the end; the best epoch's weights. Arguments as `train`."""
    several = recipe.devices > 1
    samples = math.ceil(len(data) / recipe.devices)
    last, more = samples % recipe.batch, samples > recipe.batch
    drawn = _Samples(data, augment)
    # Several GPUs share their statistics.
    met = min(samples, recipe.batch) == 1 or (last == 1 and least < 2)
    lone = _too_lone(network, loss, drawn, device) if met and not (several and device == "cuda") else ""
    if lone and (not more or recipe.batch == 1):
        fix = "use a batch of two or more" if more else "give it two samples or more"
        said = f"batch norm cannot learn from a step of one sample, {lone} has one value a channel"
        raise UserError(said, f"{title}, samples: {samples}, batch: {recipe.batch}", fix)
    least = 2 if lone else least
    short = 0 < last < least and more
    batches = samples // recipe.batch if short else math.ceil(samples / recipe.batch)
    steps = math.ceil(batches / recipe.accumulate)
    loader = DataLoader(
        drawn,
        recipe.batch,
        sampler=_Order(len(data), seed),
        num_workers=_workers(device, augment),
        drop_last=short,
    )
    module = _Training(network.train(), loss, recipe, steps, seed, groups)
    checkpoint = workdir / CHECKPOINT
    with bar("{task.fields[loss]}") as progress:
        task = progress.add_task(title, total=recipe.epochs * batches, loss="")
        books = _Bookkeeping(recipe, workdir, title, validate, progress, task)
        trainer = _trainer(recipe, device, workdir, books)
        trainer.fit(module, loader, ckpt_path=checkpoint if checkpoint.is_file() else None, weights_only=True)
    if several:
        # The books of the processes went with them; the first one's are in the checkpoint.
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]
        books.load_state_dict(saved[books.state_key])
    return books.best_weights


def _too_lone(network: nn.Module, loss: Loss, samples: _Samples, device: str) -> str:
    """Name of a batch norm that finds but one value a channel, and so no variance, in a step of one sample; else "".

    A copy of the network is tried, so that the training is as it would be without.
    """
    sample = samples[_Drawn(0, 0, (0, 0, 0))]
    if any(field.ndim > 3 for field in sample.values()):
        return ""  # an episode: one sample of several images
    met: list[str] = []

    def look(name: str, features: Tensor) -> None:
        if features.numel() == features.shape[1]:
            met.append(name)

    copied = copy.deepcopy(network).train().to(device)
    for name, module in copied.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(lambda module, given, name=name: look(name, given[0]))
    batch = {name: field[None].to(device) for name, field in sample.items()}
    try:
        loss(copied, batch)
    except ValueError:
        # PyTorch's batch norm refuses it; one with another way to go was met, and went on.
        if not met:
            raise
        return met[-1]
    return ""


def _trainer(recipe: Recipe, device: str, workdir: Path, callback: pl.Callback) -> pl.Trainer:
    several = recipe.devices > 1
    try:
        return pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=recipe.devices,
            # Forked, not started anew: the command that runs here may be a stage of a larger one.
            strategy="ddp_fork_find_unused_parameters_true" if several else "auto",
            sync_batchnorm=several and device == "cuda",
            precision=recipe.resolved_precision(device),
            max_epochs=recipe.epochs,
            accumulate_grad_batches=recipe.accumulate,
            gradient_clip_val=recipe.clip or None,
            callbacks=[callback],
            default_root_dir=workdir,
            logger=_tensorboard(workdir),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError) as error:
        # More devices than there are, or a precision that the device does not compute in.
        reason = " ".join(str(error).split())[:160]
        where = f"devices={recipe.devices}, precision={recipe.precision}, {device}"
        raise UserError(f"Lightning cannot train so, {reason}", where, "lower devices= or use precision=auto") from None


def _workers(device: str, augment: Augment) -> int:
    """Processes that prepare batches beside a GPU; a CPU has better to do, and turns alone cost nothing."""
    return min(4, os.cpu_count() or 1) if device == "cuda" and callable(augment) else 0


def _tensorboard(workdir: Path) -> TensorBoardLogger | bool:
    """A log for TensorBoard beside the CSV, where it is installed (the extra ``tensorboard``)."""
    if importlib.util.find_spec("tensorboard") is None:
        return False
    return TensorBoardLogger(workdir, name="tensorboard", version="")
