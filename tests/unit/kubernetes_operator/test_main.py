"""The composition root of the operator."""

from __future__ import annotations

from typing import cast

from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.kube.access import ClusterAccess
from agent_operator.kube.cluster import Cluster
from agent_operator.main import assemble
from agent_operator.rest.rest_client import RestClient
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import FakeCluster, FakeRest, World

ONLY_FOR_PEOPLE = {"events"}


async def test_the_probe_watches_every_duty_on_which_something_depends() -> None:
    world = World()
    objects = AgentTasks(cast("Cluster", FakeCluster(world)))
    rest = cast("RestClient", FakeRest(world))
    assembly = assemble(cast("ClusterAccess", None), objects, rest, clock=ManualClock(), cluster_name="here")

    assert set(assembly.pulse.silent_seconds()) == set(assembly.duties) - ONLY_FOR_PEOPLE
