"""Stages as tasks of a Ray cluster; its machines must see the store and the data under the same paths.

A task lets its stage run in a process of its own, as the engine ``local`` does, with what that gives: memory, limit, an
end that leaves nothing. What the cluster loses (a worker, a node) is tried again; what a plug-in does wrong is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.execution.engines import Placement, Told
from bench.execution.engines.agenda import Agenda, side_by_side
from bench.execution.engines.ray import cluster
from bench.execution.engines.ray.detached import hand_over
from bench.execution.engines.ray.tasks import Tasks
from bench.execution.stages import Stage
from bench.store import Store


def check(placement: Placement, store: Store) -> None:
    """See `bench.execution.engines`. Raises UserError where the cluster cannot be reached, within 20 s."""
    cluster.check(placement)


def execute(stages: Sequence[Stage], told: Told, placement: Placement) -> None:
    """See `bench.execution.engines`.

    With ``detach`` the cluster is handed ``told``, a `bench.execution.study.Study`, which it carries out.

    Raises:
        UserError: the cluster runs another bench.
    """
    with cluster.connected(placement) as joined:
        if placement.detach:
            hand_over(told, placement)
        else:
            side_by_side(Agenda(stages, told), Tasks(joined, placement.jobs))
