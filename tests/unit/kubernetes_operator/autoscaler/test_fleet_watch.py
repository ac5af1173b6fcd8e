"""The memory of the fleet: an idle fleet is not read again, and a change ends the memory at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent_operator.autoscaler import fleet_watch
from agent_operator.autoscaler.fleet import Deployment
from agent_operator.autoscaler.fleet_watch import FleetWatch
from agent_operator.kube.cluster import Cluster, ClusterUnavailable, NotAllowed
from tests.unit.kubernetes_operator.autoscaler.fleet_world import FakeKubernetes, FleetWorld


@dataclass(frozen=True)
class WatchedKubernetes(FakeKubernetes):
    """A double of `Cluster` that lists its reads. `feeds` gets None for a change, or the error that ends a watch."""

    reads: list[str] = field(default_factory=list)
    opened: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    feeds: dict[str, asyncio.Queue[Exception | None]] = field(
        default_factory=lambda: {"deployments": asyncio.Queue(), "pods": asyncio.Queue()}
    )
    refusal: Exception | None = None

    async def get(self, path: str) -> dict[str, Any]:
        self.reads.append(path)
        return await super().get(path)

    @asynccontextmanager
    async def watching(self, path: str, **query: str) -> AsyncIterator[AsyncIterator[str]]:
        kind = path.rpartition("/")[2]
        if self.refusal is not None:
            self.opened.put_nowait("refused")
            raise self.refusal
        self.opened.put_nowait(f"{kind} {query}")
        yield self._changes(kind)

    async def _changes(self, kind: str) -> AsyncIterator[str]:
        while True:
            error = await self.feeds[kind].get()
            self.feeds[kind].task_done()
            if error is not None:
                raise error
            yield "MODIFIED"


@asynccontextmanager
async def watching(kubernetes: WatchedKubernetes) -> AsyncIterator[FleetWatch]:
    """Runs the watches over two workers; the fleet was read once, so the pods' selector is known."""
    watch = FleetWatch(Deployment(cast("Cluster", kubernetes), "agents", "worker"))
    running = asyncio.create_task(watch.run())
    try:
        await watch.read()
        yield watch
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
def kubernetes(monkeypatch: pytest.MonkeyPatch) -> WatchedKubernetes:
    monkeypatch.setattr(fleet_watch, "RETRY_SECONDS", 0.0)
    world = FleetWorld()
    for name in "ab":
        world.add(name, world.start())
    return WatchedKubernetes(world)


async def open_both(kubernetes: WatchedKubernetes) -> set[str]:
    return {await kubernetes.opened.get(), await kubernetes.opened.get()}


async def change(kubernetes: WatchedKubernetes, kind: str, error: Exception | None = None) -> None:
    """Sends a change or an end, and waits until the watch has received it."""
    kubernetes.feeds[kind].put_nowait(error)
    await kubernetes.feeds[kind].join()
    await asyncio.sleep(0)  # the receiver runs now


async def test_an_unchanged_fleet_is_read_once(kubernetes: WatchedKubernetes) -> None:
    async with watching(kubernetes) as watch:
        assert await open_both(kubernetes) == {
            "deployments {'fieldSelector': 'metadata.name=worker'}",
            "pods {'labelSelector': 'app=worker'}",
        }
        assert (await watch.read()).fresh, "it may have changed before the watches began"
        before = len(kubernetes.reads)
        fleets = [await watch.read() for _ in range(100)]

    assert len(kubernetes.reads) == before
    assert {(fleet.fresh, fleet.replicas, len(fleet.pods)) for fleet in fleets} == {(False, 2, 2)}


@pytest.mark.parametrize("kind", ["deployments", "pods"])
async def test_a_change_or_the_end_of_a_watch_ends_the_memory(kubernetes: WatchedKubernetes, kind: str) -> None:
    async with watching(kubernetes) as watch:
        await open_both(kubernetes)
        await watch.read()
        kubernetes.world.replicas = 7
        await change(kubernetes, kind)
        assert (await watch.read()).replicas == 7

        kubernetes.world.replicas = 8
        await change(kubernetes, kind, ClusterUnavailable("Unreachable", "cut off"))
        assert (await watch.read()).replicas == 8
        await kubernetes.opened.get()
        await watch.read()
        assert not (await watch.read()).fresh


async def test_a_change_during_a_read_is_not_lost(kubernetes: WatchedKubernetes) -> None:
    async with watching(kubernetes) as watch:
        await open_both(kubernetes)
        read = Deployment.read

        async def read_and_change(deployment: Deployment) -> Any:
            fleet = await read(deployment)
            watch.forget()
            return fleet

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Deployment, "read", read_and_change)
            await watch.read()
        assert (await watch.read()).fresh


async def test_what_must_be_fresh_is_read(kubernetes: WatchedKubernetes) -> None:
    async with watching(kubernetes) as watch:
        await open_both(kubernetes)
        await watch.read()
        assert not (await watch.read()).fresh
        assert (await watch.read(fresh=True)).fresh


async def test_without_the_right_to_watch_each_question_is_a_read(kubernetes: WatchedKubernetes) -> None:
    forbidden = replace(kubernetes, refusal=NotAllowed("Forbidden", "watch"))
    async with watching(forbidden) as watch:
        assert await open_both(forbidden) == {"refused"}
        assert [(await watch.read()).fresh for _ in range(3)] == [True, True, True]


async def test_an_outage_of_the_watches_is_logged_once(
    kubernetes: WatchedKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    log = SimpleNamespace(info=lambda event, *, what, reason: logged.append(f"{event} {what} {reason}"))
    monkeypatch.setattr(fleet_watch, "_log", log)
    unreachable = replace(kubernetes, refusal=ClusterUnavailable("Unreachable", "cut off"))
    async with watching(unreachable):
        for _ in range(10):
            await unreachable.opened.get()

    assert sorted(logged) == ["fleet_not_watched deployment Unreachable", "fleet_not_watched pods Unreachable"]
