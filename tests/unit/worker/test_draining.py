"""A drained worker: nothing fetched, nothing claimed, everything given back before it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.domain.identity import TaskId
from app.ports import Claim, Heartbeat
from tests.support.doubles import DrainsDouble, ManualClock
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


class Drains(DrainsDouble):
    """Tells of every look."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = asyncio.Semaphore(0)

    async def holds(self, worker_id: str) -> bool:
        self.looks.release()
        return await super().holds(worker_id)


class Bench:
    def __init__(self) -> None:
        self.drains = Drains()
        self.returned: list[str] = []
        self.fetched: list[TaskId] = []
        self.said_while_returning: list[bool] = []
        self.leases = LeaseKeeper(self, lease_seconds=30, clock=ManualClock())
        self.consumer = Consumer()
        self.consumption = Consumption()
        self.consumption.control(self.consumer)
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
        self.said_while_returning.append(self.draining.announced)
        self.returned.append(task_id)

    async def look(self) -> None:
        """Lets the loop look, until it looks again: then it is done with the first look."""
        looking = asyncio.create_task(self.draining.run())
        await self.drains.looks.acquire()
        self.draining.hear(WORKER)
        await self.drains.looks.acquire()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_a_lease_pauses_the_consumer_gives_back_and_only_then_is_announced() -> None:
    bench = Bench()
    bench.fetched = [TASK]
    await bench.drains.begin(WORKER, seconds=60)

    await bench.look()

    assert bench.consumer.paused
    assert bench.returned == [TASK]
    assert bench.said_while_returning == [False]
    assert bench.draining.announced


async def test_a_fetched_ticket_is_refused_and_given_back_once() -> None:
    bench = Bench()
    bench.fetched = [TASK]
    assert not await bench.draining.refuse(TASK)
    await bench.drains.begin(WORKER, seconds=60)
    await bench.look()

    assert await bench.draining.refuse(TASK)

    assert bench.returned == [TASK]


async def test_after_the_lease_the_worker_works_again() -> None:
    bench = Bench()
    await bench.drains.begin(WORKER, seconds=60)
    await bench.look()
    await bench.drains.end(WORKER)

    await bench.look()

    assert not bench.consumer.paused
    assert not bench.draining.announced
    assert not await bench.draining.refuse(TASK)


async def test_without_redis_what_was_known_holds() -> None:
    bench = Bench()
    await bench.drains.begin(WORKER, seconds=60)
    await bench.look()
    bench.drains.down = True

    await bench.look()

    assert bench.draining.announced


async def test_a_consumer_that_comes_late_is_paused_at_once() -> None:
    bench = Bench()
    await bench.drains.begin(WORKER, seconds=60)
    await bench.look()
    late = Consumer()

    bench.consumption.control(late)

    assert late.paused


async def test_who_stops_says_so_and_a_lease_that_begins_changes_nothing() -> None:
    bench = Bench()
    bench.draining.stop()
    await bench.drains.begin(WORKER, seconds=60)

    await bench.draining._look()  # `run` tells nobody of this one: who stops asks for no lease

    assert bench.draining.announced
    assert not await bench.draining.refuse(TASK)
    bench.leases.hand_back_all()
    assert await bench.draining.refuse(TASK)
    assert bench.returned == [TASK]
