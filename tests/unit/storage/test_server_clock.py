"""The server's time between two readings of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

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

    async def server_time(self, db: Database) -> datetime:
        self.readings += 1
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
