"""The epochs of a training, by Lightning. Imported when a training starts: it takes seconds."""

from __future__ import annotations

import csv
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from rich.progress import Progress, TaskID
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from bench.contracts import UserError
from bench.files import replacing
from bench.progress import bar
from bench.training.arrays import Batch, TrainingArrays
from bench.training.recipe import Loss, Recipe

CHECKPOINT = "resume.ckpt"
LOG = "training.csv"
LOG_COLUMNS = ("epoch", "lr", "loss", "validation", "seconds")


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
        adam = torch.optim.Adam(self.network.parameters(), lr=recipe.lr, fused=True)
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
) -> dict[str, Tensor]:
    """Train from the checkpoint in ``workdir``, if any, to the end; the best epoch's weights. Arguments as `train`."""
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
