"""A worker checks whether it idles beside a full queue, and stops itself if it has grown too large."""

from __future__ import annotations

import signal
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as ConnectionBroken
from redis.exceptions import OutOfMemoryError

from app.domain.identity import TaskId
from tests.support.doubles import IdleClaims, ManualClock, MemoryDrains
from worker.consumption import Consumption, PauseReason
from worker.draining import Draining
from worker.leases import LeaseKeeper
from worker.self_check import SelfCheck
from worker.store_watch import StoreWatch
from worker.vitals import IDLE_SECONDS, STALL_SECONDS, Condition, Vitals


class QueueLength:
    """A Redis that knows the length of the queue and nothing else. A `full` one refuses writes."""

    def __init__(self) -> None:
        self.listed = 0
        self.down = False
        self.full = False

    async def set(self, *_: object, **__: object) -> None:
        if self.full:
            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")

    async def exists(self, *_: object) -> int:
        return 1

    async def execute_command(self, *_: object) -> int:
        if self.down:
            raise ConnectionBroken("the broker is switched off")
        return self.listed


class SelfCheckHarness:
    """A worker's check of itself, made as often as a test asks for it."""

    def __init__(self, *, max_memory_mb: int | None = None) -> None:
        self.clock = ManualClock()
        self.redis = QueueLength()
        self.vitals = Vitals(self.clock)
        self.fetched: set[TaskId] = set()
        self.consumption = Consumption()
        leases = LeaseKeeper(IdleClaims(), lease_seconds=30, clock=self.clock)
        self.draining = Draining(
            MemoryDrains(), IdleClaims(), leases, self.consumption, worker_id="w1", fetched=lambda: self.fetched
        )
        self.self_check = SelfCheck(
            cast("Any", self.redis),
            self.vitals,
            consumption=self.consumption,
            draining=self.draining,
            store_watch=StoreWatch(IdleClaims(), self.consumption),
            fetched=lambda: self.fetched,
            queue="agent_tasks",
            max_memory_mb=max_memory_mb,
        )

    async def condition_after(self, seconds: float) -> Condition:
        """Checks the queue, lets the time pass with a live loop, and judges."""
        await self.self_check._check_queue()
        self.clock.advance(seconds)
        self.vitals.record_loop_tick()
        return self.self_check.condition()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    raised: list[int] = []
    monkeypatch.setattr("worker.self_check.signal.raise_signal", raised.append)
    return raised


async def test_a_worker_that_idles_beside_a_full_queue_is_ill() -> None:
    harness = SelfCheckHarness()
    harness.redis.listed = 3

    assert await harness.condition_after(IDLE_SECONDS) is Condition.IDLE_BESIDE_QUEUE


@pytest.mark.parametrize("why", ["a ticket in hand", "paused", "stopping"])
async def test_a_worker_with_a_reason_not_to_fetch_is_well_beside_a_full_queue(why: str) -> None:
    harness = SelfCheckHarness()
    harness.redis.listed = 3
    match why:
        case "a ticket in hand":
            harness.fetched.add(TaskId("t1"))
        case "paused":
            harness.consumption.block(PauseReason.DRAINED)
        case _:
            harness.draining.stop()

    assert await harness.condition_after(IDLE_SECONDS) is Condition.OK


@pytest.mark.parametrize("trouble", ["down", "full"])
async def test_a_hub_that_waits_for_redis_is_excused(trouble: str) -> None:
    harness = SelfCheckHarness()
    harness.vitals.record_hub_tick()
    harness.clock.advance(STALL_SECONDS)
    setattr(harness.redis, trouble, True)

    assert await harness.condition_after(0) is Condition.OK


def test_a_worker_that_has_grown_too_large_stops_itself(signals: list[int]) -> None:
    SelfCheckHarness(max_memory_mb=1).self_check._check_memory()

    assert signals == [signal.SIGTERM]


@pytest.mark.parametrize("limit_mb", [None, 1_000_000])
def test_a_worker_within_its_limit_goes_on(signals: list[int], limit_mb: int | None) -> None:
    SelfCheckHarness(max_memory_mb=limit_mb).self_check._check_memory()

    assert signals == []


def test_a_worker_that_stops_already_is_not_stopped_again(signals: list[int]) -> None:
    harness = SelfCheckHarness(max_memory_mb=1)
    harness.draining.stop()

    harness.self_check._check_memory()

    assert signals == []
