"""A database operation is repeated through any outage, and for a minute if the database itself has a fault."""

from __future__ import annotations

import pytest

from app.errors import StoreError, StoreFault, StoreUnavailable
from tests.support.doubles import ManualClock
from worker.patience import FAULT_SECONDS, until_answered


class Database:
    """A database that raises each error of its phases for the given seconds, and then answers."""

    def __init__(self, clock: ManualClock, *phases: tuple[float, type[StoreUnavailable]]) -> None:
        self._clock = clock
        self._phases = [
            (clock.seconds + sum(size for size, _ in phases[: n + 1]), kind) for n, (_, kind) in enumerate(phases)
        ]

    async def ask(self) -> str:
        for ends_at, kind in self._phases:
            if self._clock.seconds < ends_at:
                raise kind("no")
        return "answer"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr("worker.patience.asyncio.sleep", sleep)
    monkeypatch.setattr("worker.patience.time.monotonic", clock.monotonic)
    return clock


async def test_an_outage_is_waited_for_however_long_it_is(clock: ManualClock) -> None:
    database = Database(clock, (10_000, StoreUnavailable))

    assert await until_answered(database.ask, action="write", task_id="t1") == "answer"


async def test_a_database_that_recovers_may_have_faults(clock: ManualClock) -> None:
    short = FAULT_SECONDS - 5
    database = Database(clock, (short, StoreFault), (short, StoreUnavailable), (short, StoreFault))

    assert await until_answered(database.ask, action="write", task_id="t1") == "answer"


async def test_an_operation_that_fails_for_a_minute_is_given_up(clock: ManualClock) -> None:
    database = Database(clock, (FAULT_SECONDS + 5, StoreFault))

    with pytest.raises(StoreError, match="has failed to write for task t1"):
        await until_answered(database.ask, action="write", task_id="t1")


async def test_a_caller_with_a_time_limit_gets_the_outage_itself(clock: ManualClock) -> None:
    database = Database(clock, (60, StoreUnavailable))

    with pytest.raises(StoreUnavailable):
        await until_answered(database.ask, action="claim", task_id="t1", for_seconds=12)
