"""The composition root of the operator."""

from __future__ import annotations

from typing import cast

import pytest
from pydantic import SecretStr

from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.kube.access import ClusterAccess
from agent_operator.kube.cluster import Cluster
from agent_operator.kube.leases import Leases
from agent_operator.main import Assembly, add_autoscaler, assemble
from agent_operator.rest.rest_client import RestClient
from app.settings import BrokerSettings, OperatorSettings
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import NAMESPACE, FakeCluster, FakeRest, World

ONLY_FOR_PEOPLE = {"events"}


async def assembled(world: World, *, holder: str = "ours") -> Assembly:
    """Wires an operator for a namespace whose Lease the release `holder` has."""
    cluster, clock = cast("Cluster", FakeCluster(world)), ManualClock()
    await Shifts(Leases(cluster, holder), clock).begin_all([NAMESPACE])
    shifts = Shifts(Leases(cluster, "ours"), clock)
    objects = AgentTasks(cluster, await shifts.begin_all([NAMESPACE]))
    rest = cast("RestClient", FakeRest(world))
    return assemble(cast("ClusterAccess", None), objects, rest, shifts=shifts, clock=clock, cluster_name="here")


async def test_the_probe_watches_every_duty_on_which_something_depends() -> None:
    assembly = await assembled(World())

    assert set(assembly.pulse.silent_seconds()) == set(assembly.duties) - ONLY_FOR_PEOPLE
    assert {"survey", "reconcile_loop"} < set(assembly.duties)


async def test_an_operator_without_a_namespace_of_its_own_touches_no_agenttask() -> None:
    assembly = await assembled(World(), holder="theirs")

    assert set(assembly.duties) == {"shifts", "events"}
    assert assembly.registry is None


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("min_replicas=5 max_replicas=2", "max_replicas must not be less than min_replicas"),
        ("utilisation=7 max_pods=3", "utilisation: Input should be less than or equal to 1; max_pods: Extra"),
    ],
)
async def test_an_impossible_policy_stops_the_autoscaler_and_nothing_else(policy: str, words: str) -> None:
    assembly = await assembled(World())
    before = dict(assembly.duties)
    settings = OperatorSettings(worker_deployment="agents/worker", autoscaler_policy=policy)

    add_autoscaler(assembly, settings, BrokerSettings(redis_url=SecretStr("redis://x/")), clock=ManualClock())

    assert assembly.duties == before
    (problem,) = assembly.pulse.problems
    assert problem.startswith("AGENT_AUTOSCALER_POLICY: ")
    assert words in problem
    assert "\n" not in problem
    assert assembly.metrics.registry.get_sample_value("agents_autoscaler_policy_refused") == 1
    assert assembly.pulse.dead() == []
