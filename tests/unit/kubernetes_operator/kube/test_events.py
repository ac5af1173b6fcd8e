"""Kubernetes events: a burst is written, a flood is not, and later there is room again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from agent_operator.kube.cluster import Cluster
from agent_operator.kube.events import BURST, PER_SECOND, EventRecorder
from app.telemetry.metrics import OperatorMetrics
from tests.support.doubles import ManualClock

ABOUT = {"kind": "AgentTask", "namespace": "team", "name": "poem", "uid": "u"}


class Writes:
    """A double of `Cluster` that keeps the events."""

    def __init__(self) -> None:
        self.written: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def create(self, path: str, body: Mapping[str, Any]) -> None:
        assert path == "/api/v1/namespaces/team/events"
        self.written.put_nowait(body)


def outcomes(metrics: OperatorMetrics) -> dict[str, float | None]:
    name = "agents_operator_kubernetes_events_total"
    return {
        outcome: metrics.registry.get_sample_value(name, {"outcome": outcome}) for outcome in ("written", "left_out")
    }


async def test_a_flood_is_cut_and_five_a_second_have_room_afterwards() -> None:
    cluster, clock, metrics = Writes(), ManualClock(), OperatorMetrics(version="test")
    events = EventRecorder(cast("Cluster", cluster), metrics.agenttasks, clock)
    writing = asyncio.create_task(events.run())
    try:
        for _ in range(BURST + 10):
            events.emit(ABOUT, reason="Submitted", message="m" * 2_000)
        first, *_ = [await cluster.written.get() for _ in range(BURST)]
        clock.advance(1)
        for _ in range(10):
            events.emit(ABOUT, reason="Completed", message="done", warning=True)
        last = [await cluster.written.get() for _ in range(int(PER_SECOND))][-1]
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    assert outcomes(metrics) == {"written": BURST + PER_SECOND, "left_out": 15}
    assert (len(first["message"]), first["type"], last["type"]) == (1_024, "Normal", "Warning")
    assert last["lastTimestamp"] == clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
