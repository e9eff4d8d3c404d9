"""What a stage asks of a cluster's nodes; no cluster is needed to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import bench
from bench.contracts import UserError
from bench.execution import engines
from bench.execution.stages import Stage
from tests.bench.conftest import Toy

pytest.importorskip("ray", reason="the ray extra is not installed")

from bench.execution.engines.ray import needs
from bench.execution.engines.ray.cluster import Cluster, Node

SMALL, LARGE = Node("small", 4, 0, 4000.0), Node("large", 16, 2, 20000.0)
OF_BUDGET = 512 * 512


@pytest.fixture(params=[{}, {"shard": 1}], ids=["whole", "in parts"])
def stages(toy: Toy, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> dict[str, Stage]:
    """Of a run on a cluster, by what they do and for whom; nothing is computed."""
    seen: list[Stage] = []

    def execute(found: Sequence[Stage], *_: Any) -> None:
        seen.extend(found)

    monkeypatch.setattr(engines, "load", lambda name: execute)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    names = [
        "threshold",
        "prn-fast[encoder_weights=none]",
        "test-time-flip",
        "threshold+morphology",
        "gated[refiner=grabcut]",
    ]
    with pytest.raises(UserError, match="cells are gone"):
        bench.run(
            dataset=[toy.dataset],
            base=["unet[encoder_weights=none]"],
            refiner=names,
            engine="ray",
            workers=3,
            store=toy.maps.parent / "s",
            **request.param,
        )
    return {f"{stage.does} {stage.job.cell.manifest.refiner.partition('[')[0]}": stage for stage in seen}


def test_each_process_has_a_cpu_and_memory_and_what_the_refiner_declares_grows_with_the_image(
    stages: dict[str, Stage],
) -> None:
    cluster = Cluster(lambda: [SMALL, LARGE])
    cell, fit = stages["refine threshold"], stages["fit threshold"]
    assert needs.of(cell, cluster, OF_BUDGET) == needs.Needs(3, 0, 4 * needs.PROCESS + 3 * 30)
    assert needs.of(cell, cluster, OF_BUDGET // 4) == needs.of(cell, cluster, OF_BUDGET)
    assert needs.of(cell, cluster, 4 * OF_BUDGET).memory == 4 * needs.PROCESS + 3 * 4 * 30
    assert needs.of(fit, cluster, OF_BUDGET) == needs.Needs(1, 0, needs.PROCESS + 30)
    assert needs.of(stages["refine threshold+morphology"], cluster, 1).memory == 4 * needs.PROCESS + 3 * (30 + 30)
    assert needs.of(stages["refine gated"], cluster, 1).memory == 4 * needs.PROCESS + 3 * (60 + 120)
    # An image of 10 000 pixels a side cannot ask for more than there is.
    asked = needs.of(cell, cluster, 10**8)
    assert asked.memory == 20000 and asked.fit(cluster) and asked.more(cluster) == asked
    assert needs.Needs(1, 0, 1500).more(cluster).memory == 3000


def test_a_gpu_is_for_what_takes_a_device_where_there_is_one(stages: dict[str, Stage]) -> None:
    def gpus(of: str, *nodes: Node) -> int:
        return needs.of(stages[of], Cluster(lambda: list(nodes)), OF_BUDGET).gpus

    assert gpus("refine prn-fast", LARGE) == gpus("fit prn-fast", LARGE) == 1
    assert gpus("refine threshold", LARGE) == gpus("refine threshold+morphology", LARGE) == 0
    assert gpus("refine test-time-flip", LARGE) == 1  # asks the base
    assert gpus("train identity", LARGE) == 1
    assert gpus("refine prn-fast", SMALL) == 0


@pytest.mark.parametrize("stages", [{"shard": 1}], indirect=True)
def test_records_are_put_together_by_one_process_without_a_gpu(stages: dict[str, Stage]) -> None:
    asked = needs.of(stages["put together prn-fast"], Cluster(lambda: [LARGE]), 4 * OF_BUDGET)
    assert (asked.cpus, asked.gpus) == (1, 0)


def test_what_no_node_has_is_told_with_what_the_largest_one_has(stages: dict[str, Stage]) -> None:
    cluster = Cluster(lambda: [SMALL, LARGE])
    assert needs.Needs(4, 0, 4000).fit(cluster) and needs.Needs(16, 2, 20000).fit(cluster)
    for asked in (needs.Needs(17, 0, 100), needs.Needs(1, 3, 100), needs.Needs(1, 0, 20001)):
        assert not asked.fit(cluster)
        assert "the largest node has 16 CPUs, 2 GPUs and 20000 MiB" in str(asked.refusal(cluster))
    assert "has nothing" in str(needs.Needs(1, 0, 1).refusal(Cluster(list)))
