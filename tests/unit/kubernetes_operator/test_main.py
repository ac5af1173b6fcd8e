"""How the operator's parts are put together."""

from __future__ import annotations

from typing import cast

from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.kube.access import ClusterAccess
from agent_operator.kube.cluster import Cluster
from agent_operator.main import assemble
from agent_operator.rest.rest_client import Orchestrator
from tests.unit.kubernetes_operator.world import FakeCluster, FakeOrchestrator, World

ONLY_FOR_PEOPLE = {"events"}


async def test_the_probe_knows_of_every_duty_on_which_something_depends() -> None:
    world = World()
    objects = AgentTasks(cast("Cluster", FakeCluster(world)))
    orchestrator = cast("Orchestrator", FakeOrchestrator(world))
    operation = assemble(cast("ClusterAccess", None), objects, orchestrator, cluster_name="here")

    assert set(operation.pulse.silent_seconds()) == set(operation.duties) - ONLY_FOR_PEOPLE
