"""The snapshot that the autoscaler and the API read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from agent_operator.autoscaler.policy import Policy
from app.broker.channels import SNAPSHOT_TTL_SECONDS
from app.domain.api_key import ApiKey
from app.domain.fairness import InFlight, TenantPolicy
from app.domain.identity import Tenant
from app.domain.worker_state import RecentFigures
from app.ports import QueueCounts
from app.services.arrivals import Arrivals
from app.services.policies import TenantPolicies
from app.services.snapshot import LONGEST_PAUSE_SECONDS, LONGEST_PERIOD_SECONDS, SnapshotPublisher
from app.telemetry.metrics import ApiMetrics
from tests.support.doubles import ManualClock, MemoryQueue, presence

TENANT = Tenant("a")


IN_FLIGHT = InFlight(by_tenant={TENANT: 3}, processing=2)
COUNTED = QueueCounts(
    by_tenant={TENANT: 3}, oldest_by_tenant={TENANT: 1.5}, in_flight=IN_FLIGHT, oldest_age_seconds=1.5
)


class Counts:
    """A queue of which `counted` is counted quickly and `everything` by a full count."""

    def __init__(self, counted: QueueCounts = COUNTED, everything: QueueCounts = COUNTED) -> None:
        self.counted = counted
        self.everything = everything
        self.full_counts = 0

    async def counts(self) -> QueueCounts:
        return self.counted

    async def count_all(self) -> QueueCounts:
        self.full_counts += 1
        return self.everything


class SlowCounts(Counts):
    """A queue whose counts take `seconds`, one after the other."""

    def __init__(self, clock: ManualClock, *seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = list(seconds)

    async def counts(self) -> QueueCounts:
        self._clock.advance(self._seconds.pop(0))
        return await super().counts()


class KeysDouble:
    async def list_all(self) -> Sequence[ApiKey]:
        return []


def publisher(
    queue: MemoryQueue, clock: ManualClock, counts: Counts | None = None, *, default: TenantPolicy | None = None
) -> SnapshotPublisher:
    return SnapshotPublisher(
        counts or Counts(),
        queue,
        expected_service_seconds=20,
        policies=TenantPolicies(KeysDouble(), default or TenantPolicy(), clock),
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


async def test_of_a_deep_queue_the_last_full_count_is_published() -> None:
    counts = Counts(
        QueueCounts(by_tenant={TENANT: 10_000}, oldest_by_tenant={TENANT: 5.0}, oldest_age_seconds=5.0, exact=False),
        QueueCounts(by_tenant={TENANT: 700_000}, oldest_by_tenant={TENANT: 90.0}, oldest_age_seconds=90.0),
    )
    queue, clock = MemoryQueue(), ManualClock()
    leader = publisher(queue, clock, counts)

    await leader.publish()
    at_first = queue.published
    await leader.count_all()
    await leader.publish()

    assert (at_first["waiting"], at_first["waiting_exact"], at_first["oldest_age_seconds"]) == (10_000, 0, 5.0)
    published = queue.published
    assert (published["waiting"], published["waiting_exact"], published["oldest_age_seconds"]) == (700_000, 0, 90.0)
    assert published["runnable"] == 700_000


@pytest.mark.parametrize(("counting", "pause"), [(0.01, 1.0), (0.3, 3.0), (2.0, 6.0), (30.0, 1.0)])
async def test_a_slow_count_is_followed_by_a_pause_in_which_figures_stay_fresh(counting: float, pause: float) -> None:
    clock = ManualClock()

    assert await publisher(MemoryQueue(), clock, SlowCounts(clock, counting)).publish() == pytest.approx(pause)


@pytest.mark.parametrize(
    ("counting", "pauses"),
    [
        ((4.0, 4.0, 5.0), [4.0, 30.0, 30.0]),
        ((30.0, 30.0, 9.0, 0.1), [1.0, 30.0, 30.0, 1.0]),
        ((0.1, 30.0, 0.1, 5.0, 0.3), [1.0, 1.0, 1.0, 3.0, 3.0]),
    ],
)
async def test_if_all_counts_are_slow_they_take_a_tenth_of_the_time_and_one_that_was_held_up_does_not_count(
    counting: Sequence[float], pauses: Sequence[float]
) -> None:
    clock = ManualClock()
    leader = publisher(MemoryQueue(), clock, SlowCounts(clock, *counting))

    assert [await leader.publish() for _ in counting] == pytest.approx(pauses)


@pytest.mark.parametrize("counting", [(0.01, 0.01), (0.6, 0.6), (4.0, 4.0), (5.0, 5.0, 5.0)])
async def test_figures_hold_until_the_next_snapshot_has_come(counting: Sequence[float]) -> None:
    clock, queue = ManualClock(), MemoryQueue()
    leader = publisher(queue, clock, SlowCounts(clock, *counting))

    for seconds in counting:
        pause_seconds = await leader.publish()
        holds = datetime.fromisoformat(str(queue.published["holds_until"])) - clock.now()
        assert pause_seconds + seconds < holds.total_seconds() < SNAPSHOT_TTL_SECONDS


def test_figures_are_published_before_the_autoscaler_takes_them_for_stale() -> None:
    assert Policy().stale_seconds > LONGEST_PERIOD_SECONDS


def test_a_snapshot_outlasts_the_longest_pause_and_a_count_of_half_its_time() -> None:
    assert SNAPSHOT_TTL_SECONDS / 2 >= LONGEST_PAUSE_SECONDS


async def test_a_tenant_that_came_after_the_last_full_count_is_runnable() -> None:
    early = QueueCounts(by_tenant={TENANT: 700_000}, oldest_by_tenant={TENANT: 90.0}, oldest_age_seconds=90.0)
    deep = QueueCounts(by_tenant={TENANT: 10_000}, oldest_by_tenant={TENANT: 95.0}, exact=False)
    counts = Counts(deep, early)
    queue = MemoryQueue()
    leader = publisher(queue, ManualClock(), counts, default=TenantPolicy(max_running=2))
    await leader.publish()
    await leader.count_all()

    late = Tenant("late")
    counts.counted = replace(
        deep,
        by_tenant={TENANT: 10_000, late: 40},
        oldest_by_tenant={TENANT: 95.0, late: 1.0},
        in_flight=InFlight(by_tenant={TENANT: 2}, processing=2),
    )
    await leader.publish()

    assert (queue.published["waiting"], queue.published["runnable"]) == (700_040, 2)


async def test_a_queue_that_is_counted_to_the_end_needs_no_full_count() -> None:
    queue, counts = MemoryQueue(), Counts()
    leader = publisher(queue, ManualClock(), counts)

    await leader.publish()
    await leader.count_all()

    assert counts.full_counts == 0
    assert queue.published["waiting_exact"] == 1


async def test_tasks_that_a_limit_holds_back_are_not_runnable() -> None:
    queue = MemoryQueue()
    counted = QueueCounts(
        by_tenant={TENANT: 28, Tenant("b"): 1},
        oldest_by_tenant={TENANT: 3_600.0, Tenant("b"): 2.0},
        in_flight=InFlight(by_tenant={TENANT: 1}, processing=1),
        oldest_age_seconds=3_600.0,
    )

    await publisher(queue, ManualClock(), Counts(counted), default=TenantPolicy(max_running=2)).publish()

    assert (queue.published["waiting"], queue.published["runnable"]) == (29, 2)
    assert (queue.published["oldest_age_seconds"], queue.published["oldest_runnable_age_seconds"]) == (3_600.0, 2.0)


async def test_suspects_that_must_wait_for_others_are_not_runnable() -> None:
    queue = MemoryQueue()
    queue.workers = [presence(slots=12)]
    counted = QueueCounts(quarantined=30, in_flight=InFlight(by_tenant={TENANT: 4}, suspects=4))

    await publisher(queue, ManualClock(), Counts(counted)).publish()

    assert (queue.published["waiting"], queue.published["runnable"]) == (30, 2)
