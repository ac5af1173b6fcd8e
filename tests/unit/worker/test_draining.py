"""A drained worker fetches and claims nothing, and returns its tickets before it reports the drain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.domain.identity import TaskId
from app.ports import Claim, Heartbeat
from tests.support.doubles import ManualClock, MemoryDrains
from worker.consumption import Consumption
from worker.draining import Draining
from worker.leases import LeaseKeeper

WORKER = "w1"
TASK = TaskId("t1")


class Consumer:
    def __init__(self) -> None:
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class CountedDrains(MemoryDrains):
    """Drain leases that count how often they are checked."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = asyncio.Semaphore(0)

    async def holds(self, worker_id: str) -> bool:
        self.checks.release()
        return await super().holds(worker_id)


class DrainingHarness:
    """A worker's drain with its consumer; the harness itself is the claim repository that takes tickets back."""

    def __init__(self) -> None:
        self.drains = CountedDrains()
        self.returned: list[str] = []
        self.fetched: list[TaskId] = []
        self.reported_while_returning: list[bool] = []
        self.leases = LeaseKeeper(self, lease_seconds=30, clock=ManualClock())
        self.consumer = Consumer()
        self.consumption = Consumption()
        self.consumption.attach(self.consumer)
        self.draining = Draining(
            self.drains,
            self,
            self.leases,
            self.consumption,
            worker_id=WORKER,
            fetched=lambda: self.fetched,
        )

    async def heartbeat(self, claims: Sequence[Claim]) -> Heartbeat:
        return Heartbeat(lost=frozenset(), cancelled=frozenset())

    async def return_ticket(self, task_id: TaskId) -> None:
        self.reported_while_returning.append(self.draining.reported)
        self.returned.append(task_id)

    async def check(self) -> None:
        """Runs the loop until its second check: then it is done with the first one."""
        checking = asyncio.create_task(self.draining.run())
        await self.drains.checks.acquire()
        self.draining.on_lease_changed(WORKER)
        await self.drains.checks.acquire()
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)


async def test_a_lease_pauses_the_consumer_returns_tickets_and_only_then_is_reported() -> None:
    harness = DrainingHarness()
    harness.fetched = [TASK]
    await harness.drains.begin(WORKER, seconds=60)

    await harness.check()

    assert harness.consumer.paused
    assert harness.returned == [TASK]
    assert harness.reported_while_returning == [False]
    assert harness.draining.reported


async def test_a_fetched_ticket_is_refused_and_returned_once() -> None:
    harness = DrainingHarness()
    harness.fetched = [TASK]
    assert not await harness.draining.refuse(TASK)
    await harness.drains.begin(WORKER, seconds=60)
    await harness.check()

    assert await harness.draining.refuse(TASK)

    assert harness.returned == [TASK]


async def test_after_the_lease_the_worker_works_again() -> None:
    harness = DrainingHarness()
    await harness.drains.begin(WORKER, seconds=60)
    await harness.check()
    await harness.drains.end(WORKER)

    await harness.check()

    assert not harness.consumer.paused
    assert not harness.draining.reported
    assert not await harness.draining.refuse(TASK)


async def test_without_redis_the_last_known_state_holds() -> None:
    harness = DrainingHarness()
    await harness.drains.begin(WORKER, seconds=60)
    await harness.check()
    harness.drains.down = True

    await harness.check()

    assert harness.draining.reported


async def test_a_consumer_that_comes_late_is_paused_at_once() -> None:
    harness = DrainingHarness()
    await harness.drains.begin(WORKER, seconds=60)
    await harness.check()
    late = Consumer()

    harness.consumption.attach(late)

    assert late.paused


async def test_a_worker_that_stops_reports_it_and_a_lease_that_begins_changes_nothing() -> None:
    harness = DrainingHarness()
    harness.draining.stop()
    await harness.drains.begin(WORKER, seconds=60)

    await (
        harness.draining._check_lease()
    )  # not through `run`: a worker that stops reads no lease, so no check is counted

    assert harness.draining.reported
    assert not await harness.draining.refuse(TASK)
    harness.leases.hand_back_all()
    assert await harness.draining.refuse(TASK)
    assert harness.returned == [TASK]
