"""A worker that cannot reach the database fetches nothing until it answers again."""

from __future__ import annotations

import asyncio

from app.errors import StoreUnavailable
from worker.consumption import Consumption
from worker.store_watch import StoreWatch


class Store:
    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("away")
        await self.answers.wait()


class Consumer:
    def __init__(self) -> None:
        self.resumed = asyncio.Event()

    def pause(self) -> None:
        self.resumed.clear()

    def resume(self) -> None:
        self.resumed.set()


async def test_fetching_pauses_until_the_database_answers() -> None:
    store, consumption, consumer = Store(), Consumption(), Consumer()
    consumption.control(consumer)
    watch = StoreWatch(store.ping, consumption, look_seconds=0)
    running = asyncio.create_task(watch.run())

    watch.note_silence()
    watch.note_silence()
    assert (watch.away, consumption.paused) == (True, True)

    store.answers.set()
    async with asyncio.timeout(5):
        await consumer.resumed.wait()
    assert (watch.away, consumption.paused, store.asked) == (False, False, 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
