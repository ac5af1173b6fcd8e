"""The snapshot that the autoscaler and the API read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.domain.worker_state import RecentFigures
from app.ports import QueueCounts
from app.services.arrivals import Arrivals
from app.services.snapshot import SnapshotPublisher
from app.telemetry.metrics import ApiMetrics
from tests.support.doubles import ManualClock, MemoryQueue, presence


class Counts:
    async def counts(self) -> QueueCounts:
        return QueueCounts(waiting=3, dispatched=1, processing=2, oldest_age_seconds=1.5)


def publisher(queue: MemoryQueue, clock: ManualClock) -> SnapshotPublisher:
    return SnapshotPublisher(
        Counts(),
        queue,
        expected_service_seconds=20,
        clock=clock,
        metrics=ApiMetrics(version="test").leader,
    )


async def published(queue: MemoryQueue) -> dict[str, Any]:
    await publisher(queue, ManualClock()).publish()
    return queue.published


async def test_before_the_first_task_the_expected_service_time_is_published() -> None:
    snapshot = await published(MemoryQueue())

    assert (snapshot["mean_service_seconds"], snapshot["p95_service_seconds"]) == (20, 20)
    assert (snapshot["model_calls"], snapshot["rate_limited_share"]) == (0, 0)


async def test_the_figures_of_all_workers_are_merged() -> None:
    queue = MemoryQueue()
    quick = RecentFigures(service_seconds=(1.0,) * 19, model_calls=30, rate_limited_calls=0)
    slow = RecentFigures(service_seconds=(21.0,), model_calls=10, rate_limited_calls=10)
    queue.workers = [replace(presence(), recent=quick), replace(presence(), worker_id="w2", recent=slow)]

    snapshot = await published(queue)

    assert (snapshot["mean_service_seconds"], snapshot["p95_service_seconds"]) == (2.0, 1.0)
    assert (snapshot["model_calls"], snapshot["rate_limited_share"]) == (40, 0.25)


async def test_waiting_in_flight_and_drift_are_published() -> None:
    queue = MemoryQueue()
    queue.workers = [presence(running=("a",))]

    snapshot = await published(queue)

    assert (snapshot["waiting"], snapshot["listed"], snapshot["in_flight"], snapshot["drift"]) == (3, 0, 1, 2)


async def test_arrivals_at_all_processes_make_the_rate() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    here, there = Arrivals(queue), Arrivals(queue)
    leader = publisher(queue, clock)
    await leader.publish()
    for arrivals in (here, there, there):
        arrivals.record_accepted()
    queue.down = True
    await there.publish()
    queue.down = False
    await here.publish()
    await there.publish()
    await there.publish()
    clock.advance(10)

    await leader.publish()

    assert queue.published["arrival_rate"] == 0.3


async def test_a_count_that_is_lost_makes_no_negative_rate() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    queue.arrived = 100
    leader = publisher(queue, clock)
    await leader.publish()
    for number in (0, 5):
        clock.advance(10)
        queue.arrived = number
        await leader.publish()

    assert queue.published["arrival_rate"] == 0.5
