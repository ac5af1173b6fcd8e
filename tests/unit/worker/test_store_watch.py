"""A worker that cannot reach the database fetches nothing until it answers, and abandons unanswered claims then."""

from __future__ import annotations

import asyncio

from app.domain.identity import ClaimId, TaskId
from app.errors import StoreUnavailable
from worker.consumption import Consumption
from worker.store_watch import StoreWatch


class SilentClaims:
    """A claim repository that does not answer the first time."""

    def __init__(self) -> None:
        self.asked = 0
        self.abandoned: set[tuple[str, str]] = set()

    async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("unavailable")
        self.abandoned.add((task_id, claim_id))


class WaitableConsumer:
    def __init__(self) -> None:
        self.resumed = asyncio.Event()

    def pause(self) -> None:
        self.resumed.clear()

    def resume(self) -> None:
        self.resumed.set()


async def test_fetching_pauses_until_the_database_answers_and_every_unanswered_claim_is_abandoned() -> None:
    claims, consumption, consumer = SilentClaims(), Consumption(), WaitableConsumer()
    consumption.attach(consumer)
    watch = StoreWatch(claims, consumption)

    watch.record_unanswered_claim(TaskId("t1"), ClaimId("c1"))
    watch.record_unanswered_claim(TaskId("t2"), ClaimId("c2"))
    assert (watch.unavailable, consumption.paused) == (True, True)

    running = asyncio.create_task(watch.run())
    async with asyncio.timeout(5):
        await consumer.resumed.wait()
    assert (watch.unavailable, consumption.paused) == (False, False)
    assert claims.abandoned == {("t1", "c1"), ("t2", "c2")}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_claim_recorded_meanwhile_is_abandoned_too() -> None:
    consumption, consumer = Consumption(), WaitableConsumer()
    consumption.attach(consumer)

    class SlowClaims(SilentClaims):
        async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
            if task_id == "t1" and not self.asked:
                watch.record_unanswered_claim(TaskId("t2"), ClaimId("c2"))
            await super().abandon(task_id, claim_id)

    claims = SlowClaims()
    watch = StoreWatch(claims, consumption)
    watch.record_unanswered_claim(TaskId("t1"), ClaimId("c1"))

    running = asyncio.create_task(watch.run())
    async with asyncio.timeout(5):
        await consumer.resumed.wait()
    assert claims.abandoned == {("t1", "c1"), ("t2", "c2")}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
