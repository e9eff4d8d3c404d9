"""What a stage asks of the node that runs it, as far as that can be told before."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace

from bench.contracts import Budget, UserError
from bench.execution.engines.ray.cluster import Cluster
from bench.execution.stages import OF_BASES, QUICK, Stage
from bench.plugins.variants import Variant

PROCESS = 768
"""MiB of a process with torch and OpenCV in it before it works on anything (630 were measured), and of what it is
forked from, which shares most of that."""

UNKNOWN = 512
"""MiB for the work of a base, or of a refiner that declares nothing. After an out-of-memory kill more is asked for."""

DECLARED_AT = 512 * 512
"""Pixels of the image that `bench.contracts.Budget` is declared for."""


@dataclass(frozen=True)
class Needs:
    """What Ray sets aside for a task.

    Attributes:
        cpus: each process computes with one native thread.
        memory: MiB; without it Ray would start as many tasks as there are cores.
    """

    cpus: int
    gpus: int
    memory: float

    def fit(self, cluster: Cluster) -> bool:
        """Whether a node has all that, once it is free."""
        return any(
            node.cpus >= self.cpus and node.gpus >= self.gpus and node.memory >= self.memory for node in cluster.nodes
        )

    def more(self, cluster: Cluster) -> Needs:
        """For a further attempt, where the memory did not do."""
        return replace(self, memory=max(self.memory, min(2 * self.memory, cluster.most_memory)))

    def refusal(self, cluster: Cluster) -> UserError:
        """For what no node can ever run."""
        largest = max(cluster.nodes, key=lambda node: (node.gpus >= self.gpus, node.cpus, node.memory), default=None)
        has = _said(largest.cpus, largest.gpus, largest.memory) if largest else "nothing"
        what = f"no node can run it: it asks for {_said(self.cpus, self.gpus, self.memory)}, the largest node has {has}"
        fix = "let a larger node join the cluster, lower --workers, or leave the refiner out"
        return UserError(what, "--engine ray", fix)


def _said(cpus: float, gpus: float, memory: float) -> str:
    return f"{cpus:g} CPUs, {gpus:g} GPUs and {memory:.0f} MiB"


def of(stage: Stage, cluster: Cluster, pixels: int) -> Needs:
    """What a stage needs.

    Args:
        pixels: of an image of its dataset.
    """
    job = stage.job
    workers = stage.workers
    # With several, one more process hands out the images.
    processes = workers + 1 if workers > 1 else 1
    declared = None if stage.does in OF_BASES | QUICK else _declared(job.cell.refiner)
    most = float(UNKNOWN if declared is None else declared)
    least = PROCESS * processes + most * workers
    # What is declared may grow with the image, or not: it is bounded by what there is.
    scaled = PROCESS * processes + most * workers * max(1.0, pixels / DECLARED_AT)
    memory = max(least, min(scaled, cluster.most_memory))
    computes = job.device != "cpu" and stage.does not in QUICK
    gpu = computes and cluster.has_gpus and any(map(_takes_device, stage.variants))
    return Needs(workers, int(gpu), int(memory))


def _takes_device(variant: Variant) -> bool:
    if "device" in inspect.signature(variant.entry.factory).parameters:
        return True
    return any(_takes_device(one) for one in variant.nested.values())


def _declared(variant: Variant) -> float | None:
    """MiB at most, of the refiner and those in it; None where none of them says."""
    budget = getattr(variant.entry.factory, "cost", None)
    own = budget.memory_mb if isinstance(budget, Budget) else None
    found = [own, *(_declared(one) for one in variant.nested.values())]
    known = [each for each in found if each is not None]
    return sum(known) if known else None
