"""The figures of the system, with and without the servers that give them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from app.domain.fairness import InFlight
from app.domain.identity import Tenant
from app.domain.intake import Intake
from app.errors import StoreUnavailable
from app.ports import QueueCounts, TaskStatistics
from app.services.dependency_health import HealthService, HealthStatus
from app.services.intake_switch import IntakeSwitch
from app.services.system import SNAPSHOT_FRESH_SECONDS, QueueFigures, SystemService
from tests.support.doubles import ManualClock, MemoryQueue

STATISTICS = TaskStatistics(
    today_by_status={}, by_agent={}, exact=True, latency_p50_seconds=None, latency_p95_seconds=None
)
COUNTED = QueueCounts(
    by_tenant={Tenant("a"): 3}, in_flight=InFlight(by_tenant={Tenant("a"): 3}, processing=2), oldest_age_seconds=1.5
)


class StoreDouble:
    """The part of a store that figures are read from; it can be down."""

    def __init__(self) -> None:
        self.down = False

    def _answer(self) -> None:
        if self.down:
            raise StoreUnavailable("the store is switched off")

    async def intake(self) -> Intake:
        self._answer()
        return Intake()

    async def statistics(self, tenant: Tenant | None) -> TaskStatistics:
        self._answer()
        return STATISTICS

    async def counts(self) -> QueueCounts:
        self._answer()
        return COUNTED

    async def ping(self) -> None:
        self._answer()


class SystemHarness:
    """The service with doubles of its servers."""

    def __init__(self) -> None:
        self.store, self.queue, self.clock = StoreDouble(), MemoryQueue(), ManualClock()
        store = cast("Any", self.store)
        self.service = SystemService(
            store,
            store,
            self.queue,
            intake_switch=IntakeSwitch(store, self.clock),
            health=HealthService(store, self.queue, self.clock),
            clock=self.clock,
        )

    async def queue_figures(self) -> QueueFigures | None:
        return (await self.service.metrics(None)).queue

    def publish_snapshot(self, **further: float | str) -> None:
        self.queue.published = {
            "waiting": 10,
            "listed": 4,
            "processing": 5,
            "oldest_age_seconds": 7.0,
            **further,
            "at": self.clock.now().isoformat(),
        }


async def test_a_fresh_snapshot_saves_the_counting_and_keeps_its_time() -> None:
    harness = SystemHarness()
    harness.publish_snapshot(runnable=6, waiting_exact=0)
    published_at = harness.clock.now()
    harness.clock.advance(1)

    assert await harness.queue_figures() == QueueFigures(
        length=14, waiting=10, exact=False, runnable=6, listed=4, processing=5, oldest_age_seconds=7.0,
        as_of=published_at,
    )  # fmt: skip


async def test_of_a_leader_that_does_not_publish_which_tasks_may_run_all_may() -> None:
    harness = SystemHarness()
    harness.publish_snapshot()

    figures = await harness.queue_figures()

    assert figures is not None
    assert (figures.runnable, figures.exact) == (10, True)


async def test_a_snapshot_is_trusted_until_the_next_one_is_overdue() -> None:
    harness = SystemHarness()
    published_at = harness.clock.now()
    holds_until = published_at + timedelta(seconds=38.5)
    harness.publish_snapshot(runnable=6, holds_until=holds_until.isoformat())

    harness.clock.advance(38)
    old = await harness.queue_figures()
    harness.clock.advance(1)
    counted = await harness.queue_figures()

    assert old is not None
    assert (old.waiting, old.runnable, old.as_of) == (10, 6, published_at)
    assert counted is not None
    assert (counted.waiting, counted.runnable, counted.as_of) == (3, None, harness.clock.now())


@pytest.mark.parametrize("left_by_a_newer_leader", [False, True])
async def test_an_old_snapshot_of_an_earlier_version_is_not_trusted(*, left_by_a_newer_leader: bool) -> None:
    harness = SystemHarness()
    left = {"holds_until": harness.clock.now().isoformat()} if left_by_a_newer_leader else {}
    harness.publish_snapshot(**left)
    harness.clock.advance(SNAPSHOT_FRESH_SECONDS)

    assert await harness.queue_figures() == QueueFigures(
        length=3, waiting=3, exact=True, runnable=None, listed=0, processing=2, oldest_age_seconds=1.5,
        as_of=harness.clock.now(),
    )  # fmt: skip


async def test_without_redis_dispatched_tasks_are_counted_instead_of_tickets() -> None:
    harness = SystemHarness()
    harness.queue.down = True

    assert await harness.queue_figures() == QueueFigures(
        length=4, waiting=3, exact=True, runnable=None, listed=None, processing=2, oldest_age_seconds=1.5,
        as_of=harness.clock.now(),
    )  # fmt: skip


async def test_without_the_store_the_rest_is_still_answered() -> None:
    harness = SystemHarness()
    harness.store.down = True

    metrics = await harness.service.metrics(None)

    assert (metrics.intake, metrics.queue, metrics.statistics) == (None, None, None)
    assert metrics.workers == []
    assert metrics.dependencies["mongodb"].status is HealthStatus.DOWN
    assert metrics.dependencies["redis"].status is HealthStatus.UP
