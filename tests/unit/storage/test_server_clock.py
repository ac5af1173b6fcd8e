"""The server's time between two readings of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from app.errors import StoreUnavailable
from app.storage import server_clock
from app.storage.mongo import Database
from app.storage.server_clock import ServerClock
from tests.support.doubles import ManualClock

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


class ManualServer:
    """A server whose clock the test sets, and the number of its readings."""

    def __init__(self) -> None:
        self.time = NOON
        self.readings = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def server_time(self, db: Database) -> datetime:
        self.readings += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return self.time


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ManualServer:
    server = ManualServer()
    monkeypatch.setattr(server_clock, "server_time", server.server_time)
    return server


class SleepingClock(ManualClock):
    """A clock whose wall time goes on while the machine sleeps."""

    asleep = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.asleep


@pytest.fixture
def clock() -> SleepingClock:
    return SleepingClock()


@pytest.fixture
def here(server: ManualServer, clock: SleepingClock) -> ServerClock:
    return ServerClock(cast("Database", None), clock)


async def test_a_fresh_reading_goes_on_in_full_milliseconds(
    here: ServerClock, server: ManualServer, clock: SleepingClock
) -> None:
    assert await here.now() == NOON
    clock.advance(0.2504)

    assert await here.now() == NOON + timedelta(milliseconds=250)
    assert server.readings == 1


async def test_after_a_second_the_server_is_read_again(
    here: ServerClock, server: ManualServer, clock: SleepingClock
) -> None:
    await here.now()
    clock.advance(1)
    server.time = NOON + timedelta(hours=1)

    assert await here.now() == server.time


async def test_after_a_sleep_of_the_machine_the_server_is_read_again(
    here: ServerClock, server: ManualServer, clock: SleepingClock
) -> None:
    await here.now()
    clock.asleep = timedelta(hours=8)
    server.time = NOON + timedelta(hours=8)

    assert await here.now() == server.time


async def test_calls_at_the_same_time_share_one_reading(here: ServerClock, server: ManualServer) -> None:
    server.answers.clear()
    cancelled, *others = [asyncio.create_task(here.now()) for _ in range(3)]
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    server.answers.set()

    assert await asyncio.gather(*others) == [NOON, NOON]
    assert cancelled.cancelled()
    assert server.readings == 1


async def test_a_failed_reading_is_that_of_all_who_share_it_and_of_no_later_call(
    here: ServerClock, server: ManualServer
) -> None:
    server.error = StoreUnavailable("unavailable")
    errors = await asyncio.gather(here.now(), here.now(), return_exceptions=True)
    readings, server.error = server.readings, None

    assert [type(error) for error in errors] == [StoreUnavailable, StoreUnavailable]
    assert readings == 1
    assert await here.now() == NOON
