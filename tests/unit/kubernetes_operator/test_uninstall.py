"""The program before an uninstall: it stops the operator first, and releases every object that has its finalizer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from agent_operator import uninstall
from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.agenttasks.register import FINALIZER
from agent_operator.kube.cluster import Cluster, NotAllowed, NotThere
from agent_operator.kube.leases import Leases
from agent_operator.uninstall import STOP_SECONDS, Uninstall
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import NAMESPACE, FakeCluster, World

OTHERS = "others.example.com/keep"
Calls = list[str]  # in the class, `list` is a method


@dataclass(frozen=True)
class ClusterWithOperator(FakeCluster):
    """A cluster with the operator's Deployment. Its pod is listed `pods_listed` times after the scale to 0."""

    clock: ManualClock = field(default_factory=ManualClock)
    pods_listed: int = 0
    deployed: bool = True
    calls: Calls = field(default_factory=Calls)

    async def get(self, path: str) -> dict[str, Any]:
        if "/leases/" in path:
            return await super().get(path)
        if not self.deployed:
            raise NotThere("NotFound", path)
        return {"status": {"selector": "app=operator"}}

    async def patch(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        if not path.endswith("/scale"):
            self.calls.append("release")
            return await super().patch(path, change)
        assert change == {"spec": {"replicas": 0}}
        self.calls.append("scale")
        return {}

    async def list(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        if "/pods" not in path:
            async for body in super().list(path, **query):
                yield body
            return
        assert query == {"labelSelector": "app=operator"}
        self.calls.append("pods")
        self.clock.advance(STOP_SECONDS / 10)
        if self.calls.count("pods") <= self.pods_listed:
            yield {"metadata": {"name": "operator-1"}}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstall, "POLL_SECONDS", 0)


def world_with(**finalizers: list[str]) -> World:
    world = World()
    for name, own in finalizers.items():
        world.add(name)["metadata"]["finalizers"] = own
    return world


async def run(cluster: ClusterWithOperator) -> int:
    objects = AgentTasks(cast("Cluster", cluster))
    leases = Leases(objects.cluster, "ours")
    return await Uninstall(objects, "team", "ao-operator", leases, cluster.clock).run()


async def test_the_operator_ends_before_its_objects_are_released() -> None:
    world = world_with(ours=[FINALIZER], shared=[OTHERS, FINALIZER], done=[])
    cluster = ClusterWithOperator(world, pods_listed=2)

    assert await run(cluster) == 2

    assert cluster.calls == ["scale", "pods", "pods", "pods", "release", "release"]
    assert world.objects["ours"]["metadata"]["finalizers"] == []
    assert world.objects["shared"]["metadata"]["finalizers"] == [OTHERS]


async def test_an_object_that_is_being_deleted_goes() -> None:
    world = world_with(gone=[FINALIZER])
    world.ask_to_delete("gone")

    await run(ClusterWithOperator(world))

    assert world.objects == {}


async def test_a_pod_on_a_node_that_is_gone_holds_up_nothing() -> None:
    world = world_with(ours=[FINALIZER])

    assert await run(ClusterWithOperator(world, pods_listed=1_000)) == 1


async def test_a_second_run_finds_nothing_to_do() -> None:
    world = world_with(ours=[FINALIZER])
    await run(ClusterWithOperator(world))

    assert await run(ClusterWithOperator(world, deployed=False)) == 0


@pytest.mark.parametrize(("holder", "released"), [("ours", 1), ("other", 0)])
async def test_objects_that_another_release_serves_are_left_to_it(holder: str, released: int) -> None:
    world = world_with(ours=[FINALIZER])
    cluster = ClusterWithOperator(world)
    await Leases(cast("Cluster", cluster), holder).write(NAMESPACE, None, note="", now=cluster.clock.now())

    assert await run(cluster) == released


async def test_a_role_without_leases_releases_all_objects() -> None:
    world = world_with(ours=[FINALIZER])
    world.failing[f"get {NAMESPACE}"] = NotAllowed("Forbidden", "no right on leases")

    assert await run(ClusterWithOperator(world)) == 1
