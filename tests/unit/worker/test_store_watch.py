"""A worker that cannot reach the database fetches nothing until it answers, and puts back what it may have claimed."""

from __future__ import annotations

import asyncio

from app.domain.identity import ClaimId, TaskId
from app.errors import StoreUnavailable
from worker.consumption import Consumption
from worker.store_watch import StoreWatch


class Claims:
    """Does not answer the first time."""

    def __init__(self) -> None:
        self.asked = 0
        self.abandoned: set[tuple[str, str]] = set()

    async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("away")
        self.abandoned.add((task_id, claim_id))


class Consumer:
    def __init__(self) -> None:
        self.resumed = asyncio.Event()

    def pause(self) -> None:
        self.resumed.clear()

    def resume(self) -> None:
        self.resumed.set()


async def test_fetching_pauses_until_the_database_answers_and_has_every_unanswered_claim_back() -> None:
    claims, consumption, consumer = Claims(), Consumption(), Consumer()
    consumption.control(consumer)
    watch = StoreWatch(claims, consumption)

    watch.note_silence(TaskId("t1"), ClaimId("c1"))
    watch.note_silence(TaskId("t2"), ClaimId("c2"))
    assert (watch.away, consumption.paused) == (True, True)

    running = asyncio.create_task(watch.run())
    async with asyncio.timeout(5):
        await consumer.resumed.wait()
    assert (watch.away, consumption.paused) == (False, False)
    assert claims.abandoned == {("t1", "c1"), ("t2", "c2")}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_silence_that_is_noted_meanwhile_is_abandoned_too() -> None:
    consumption, consumer = Consumption(), Consumer()
    consumption.control(consumer)

    class Slow(Claims):
        async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
            if task_id == "t1" and not self.asked:
                watch.note_silence(TaskId("t2"), ClaimId("c2"))
            await super().abandon(task_id, claim_id)

    claims = Slow()
    watch = StoreWatch(claims, consumption)
    watch.note_silence(TaskId("t1"), ClaimId("c1"))

    running = asyncio.create_task(watch.run())
    async with asyncio.timeout(5):
        await consumer.resumed.wait()
    assert claims.abandoned == {("t1", "c1"), ("t2", "c2")}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
