"""The shift loop: it tells once which release holds a namespace, and ends when the namespaces to serve are others."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from agent_operator.agenttasks.restart import RestartNeeded
from agent_operator.agenttasks.shift_loop import ShiftLoop
from agent_operator.agenttasks.shifts import Shifts
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import Cluster, ClusterUnavailable
from agent_operator.kube.events import EventRecorder
from agent_operator.kube.leases import READS_WITHOUT_RENEWAL, RENEW_SECONDS, Leases
from app.telemetry.metrics import OperatorMetrics
from tests.support.doubles import ManualClock
from tests.unit.kubernetes_operator.world import NAMESPACE, FakeCluster, World


async def test_a_held_namespace_is_told_once_and_taken_over_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, metrics = ManualClock(), OperatorMetrics(version="test")
    cluster = cast("Cluster", FakeCluster(world))
    await Shifts(Leases(cluster, "first"), clock).begin_all([NAMESPACE])
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(EventRecorder, "emit", lambda _, about, **event: told.append({**about, **event}))
    shifts = Shifts(Leases(cluster, "second"), clock)
    await shifts.begin_all([NAMESPACE])
    loop = ShiftLoop(shifts, EventRecorder(cluster, metrics.agenttasks, clock), metrics.agenttasks, Pulse(clock))

    loop.announce()
    for _ in range(READS_WITHOUT_RENEWAL - 2):
        clock.advance(RENEW_SECONDS)
        await loop.renew_all()
        loop.announce()

    assert [(event["kind"], event["reason"]) for event in told] == [("Lease", "NamespaceHeld")]
    assert "first" in told[0]["message"]
    assert metrics.registry.get_sample_value("agents_operator_foreign_namespaces") == 1
    clock.advance(RENEW_SECONDS)
    with pytest.raises(RestartNeeded, match=NAMESPACE):
        await loop.renew_all()


async def test_a_renewal_that_hangs_holds_up_no_other_and_hides_no_other_end() -> None:
    renewed: list[str] = []
    answers, others_done = asyncio.Event(), asyncio.Event()

    class HangingShifts:
        namespaces = ("hangs", "fails", "works", "changed")

        async def renew(self, namespace: str) -> None:
            if namespace == "hangs":
                await answers.wait()
            if namespace == "fails":
                raise ClusterUnavailable("Timeout", "no answer")
            if namespace == "changed":
                others_done.set()
                raise RestartNeeded("namespace_is_free", namespace)
            renewed.append(namespace)

    clock, metrics = ManualClock(), OperatorMetrics(version="test").agenttasks
    events = EventRecorder(cast("Cluster", None), metrics, clock)
    loop = ShiftLoop(cast("Shifts", HangingShifts()), events, metrics, Pulse(clock))
    renewals = asyncio.create_task(loop.renew_all())
    async with asyncio.timeout(5):
        await others_done.wait()
    assert renewed == ["works"]
    answers.set()
    with pytest.raises(RestartNeeded, match="changed"):
        await renewals
    assert renewed == ["works", "hangs"]


async def test_a_namespace_that_is_gone_and_held_again_is_told_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, metrics = ManualClock(), OperatorMetrics(version="test")
    cluster = cast("Cluster", FakeCluster(world))
    told: list[str] = []
    monkeypatch.setattr(EventRecorder, "emit", lambda *_, **event: told.append(event["reason"]))
    shifts = Shifts(Leases(cluster, "second"), clock)
    await shifts.begin_all([])
    loop = ShiftLoop(shifts, EventRecorder(cluster, metrics.agenttasks, clock), metrics.agenttasks, Pulse(clock))
    uid = world.namespace_uids[NAMESPACE]

    for _ in range(2):
        world.namespace_uids[NAMESPACE] = uid
        await Shifts(Leases(cluster, "first"), clock).begin_all([NAMESPACE])
        assert not await shifts.may_serve(NAMESPACE)
        loop.announce()
        world.leases.clear()
        del world.namespace_uids[NAMESPACE]
        await loop.renew_all()
        loop.announce()
        assert metrics.registry.get_sample_value("agents_operator_foreign_namespaces") == 0

    assert told == ["NamespaceHeld"] * 2
