"""A refiner whose parameters are searched on val: Optuna proposes, val's ground truth decides.

Tuning is a way of learning from val, so it is a refiner itself: `Tuned` searches in `fit`, and then is the refiner with
what it found. Its cells, its folder in the store and its resume are those of any refiner that learns.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import Checked, Image, MapDataset, ProbabilityMap, Refiner, SearchSpace, Span, UserError
from bench.cross_fitting import Part
from bench.metrics.columns import METRIC_VERSION, OBJECTIVES, Objective, Scored
from bench.plugins.outputs import taken
from bench.runtime.progress import bar, note
from bench.runtime.sealed import Log
from bench.store import Learned

TRIALS = "trials.jsonl"


@dataclass(frozen=True)
class Search:
    """What is searched, and how long.

    Attributes:
        trials: parameter sets that are tried, the defaults among them.
        objective: the metric whose mean over val's images is to be as high as possible.
        space: what is searched; parameters that the user has fixed are not in it.
    """

    trials: int
    objective: Objective
    space: SearchSpace

    def identity(self) -> dict[str, Any]:
        """JSON-able: what changes the outcome."""
        space = {key: repr(choices) for key, choices in self.space.items()}
        return {"trials": self.trials, "objective": self.objective, "space": space, "metrics": METRIC_VERSION}


class Tuned(Refiner):
    """A refiner with the parameters that did best on val: `bench.contracts.Refiner`.

    In a trial, a refiner that learns nothing is scored on all of val; one that learns is fitted on one half of val,
    drawn by the seed, and scored on the other. What wins is then fitted on all of val. The defaults are the first
    trial. A proposal depends on the seed and on the trials before it alone, so that a search which was killed goes on
    to the same end.

    Args:
        make: parameters -> the refiner.
        defaults: of the parameters that are searched.
        search: what is searched.
        seed: of the proposals and of the halves.
    """

    trainable = True

    def __init__(
        self, make: Callable[[dict[str, Any]], Refiner], defaults: dict[str, Any], search: Search, seed: int
    ) -> None:
        self._make, self._defaults, self._search, self._seed = make, defaults, search, seed
        self._refiner = make(defaults)
        self.uses_ground_truth = self._refiner.uses_ground_truth
        self.trained_on: tuple[str, ...] = getattr(self._refiner, "trained_on", ())

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Search, or load what an earlier, finished call found: ``tuned.json``; ``trials.jsonl`` lists what was tried.

        Raises:
            UserError: optuna is not installed, or val has too few images to be halved.
        """
        found = Learned(workdir).tuned or self._find(val, workdir)
        self._refiner = self._make(found["parameters"])
        if self._refiner.trainable:
            self._refiner.fit(val, workdir / "refiner")

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`; every trial is fitted like the first."""
        if self._refiner.trainable and isinstance(self._refiner, Checked):
            self._refiner.check_fit()

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return self._refiner.refine(images, maps)

    def _find(self, val: MapDataset, workdir: Path) -> dict[str, Any]:
        workdir.mkdir(parents=True, exist_ok=True)
        search = self._search
        with bar("best {task.fields[best]:.4f}") as progress, Log(workdir / TRIALS) as log:
            trials = log.lines
            title = f"tune on val {search.objective}"
            task = progress.add_task(title, total=search.trials, completed=len(trials), best=_best(trials))
            tick = partial(progress.advance, task, 0)
            while len(trials) < search.trials:
                parameters = propose(search, trials, self._seed) if trials else self._defaults
                known = next((trial["score"] for trial in trials if trial["parameters"] == parameters), None)
                score = self._try(parameters, val, workdir / "trial", tick) if known is None else known
                if score > _best(trials):
                    note(f"trial {len(trials) + 1} of {search.trials}: val {search.objective} {score:.4f}")
                trials.append({"parameters": parameters, "score": score})
                log.add(trials[-1])
                progress.update(task, advance=1, best=_best(trials))
        chosen = max(trials, key=lambda trial: trial["score"])  # of several, the first
        record = {**chosen, "objective": search.objective, "default_score": trials[0]["score"], "trials": len(trials)}
        Learned(workdir).keep_tuned(record)
        return record

    def _try(self, parameters: dict[str, Any], val: MapDataset, folder: Path, tick: Callable[[], None]) -> float:
        """Mean of the objective over val, or over the half that nothing was fitted on; ``tick`` after each image."""
        refiner, scored = self._make(parameters), val
        if refiner.trainable:
            fitted, scored = halves(val, self._seed)
            refiner.fit(fitted, folder)
        total, objective = 0.0, OBJECTIVES[self._search.objective]
        for index in range(len(scored)):
            sample, probs = scored[index]
            returned = refiner.refine([sample.image], [probs])
            (refined,) = taken(returned, [probs.shape], f"trial {parameters}: {sample.id}")
            tick()
            total += objective.of(Scored(refined, sample.mask, sample.ignore))
        shutil.rmtree(folder, ignore_errors=True)
        return total / len(scored)


def halves(val: MapDataset, seed: int) -> tuple[MapDataset, MapDataset]:
    """Two parts of val without a common image, drawn by the seed. Raises UserError where there are fewer than two."""
    if len(val) < 2:
        raise UserError(f"val has {len(val)} image", "tune=", "a refiner that learns is tuned on two halves of val")
    order = np.random.default_rng(seed).permutation(len(val)).tolist()
    middle = (len(val) + 1) // 2
    return Part(val, sorted(order[:middle])), Part(val, sorted(order[middle:]))


def propose(search: Search, trials: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """The parameters to try next: at random for the first quarter of the trials (3 to 10), then by Optuna's TPE.

    Raises:
        UserError: optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("optuna is not installed", "tune=", "pip install refinebench[tune]") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own = int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0])
    at_random = max(3, min(10, search.trials // 4))
    sampler = optuna.samplers.TPESampler(seed=own, n_startup_trials=at_random, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = {name: _distribution(choices) for name, choices in search.space.items()}
    for trial in trials:
        try:
            study.add_trial(
                optuna.trial.create_trial(params=trial["parameters"], distributions=space, value=trial["score"])
            )
        except ValueError:
            # Defaults may lie outside of what is searched (None: "as large as the map"); they teach nothing then.
            continue
    return dict(study.ask(space).params)


def _distribution(choices: Span | tuple[Any, ...]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(choices, Span):
        return CategoricalDistribution(choices)
    if isinstance(choices.low, int) and isinstance(choices.high, int):
        return IntDistribution(choices.low, choices.high, log=choices.log)
    return FloatDistribution(choices.low, choices.high, log=choices.log)


def _best(trials: Sequence[dict[str, Any]]) -> float:
    return max((trial["score"] for trial in trials), default=float("-inf"))
