"""The leader: duties only under the lock, and no crash counted that a lease had no chance to prevent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from app.domain.api_key import ApiKey
from app.domain.fairness import TenantPolicy
from app.domain.identity import TaskId, Tenant
from app.ports import QueueCounts, Reaped, WaitingTask
from app.services.dispatcher import Dispatcher
from app.services.leader import Leader, LeaderPorts
from app.services.policies import TenantPolicies
from app.services.snapshot import SnapshotPublisher
from app.services.window import TicketWindow
from app.telemetry.metrics import ApiMetrics
from tests.support.doubles import ManualClock, MemoryQueue

LEASE_SECONDS = 30.0
TICK_SECONDS = LEASE_SECONDS / 6


class LockDouble:
    def __init__(self) -> None:
        self.free = True
        self.released = False
        self.asked = asyncio.Event()

    async def acquire(self, owner: str, *, seconds: float) -> bool:
        self.asked.set()
        return self.free

    async def release(self, owner: str) -> None:
        self.released = True


class DispatchDouble:
    """Counts reaps, and whether crashes were excused."""

    def __init__(self) -> None:
        self.excused: list[bool] = []
        self.more = False

    async def waiting_tenants(self) -> Sequence[Tenant]:
        return []

    async def find_waiting(self, tenant: Tenant, limit: int) -> Sequence[WaitingTask]:
        return []

    async def find_dispatched_before(self, seconds: float, limit: int) -> Sequence[WaitingTask]:
        return []

    async def counts(self) -> QueueCounts:
        return QueueCounts(waiting=0, dispatched=0, processing=0, oldest_age_seconds=0.0)

    async def reap(self, *, excuse_crashes: bool) -> Reaped:
        self.excused.append(excuse_crashes)
        return Reaped(requeued={"crash": 2}, more=self.more)

    async def sweep(self) -> Reaped:
        return Reaped()


class ProjectionDouble:
    async def find_stale(self, limit: int) -> Sequence[TaskId]:
        return []


class SystemDouble:
    """Tells when a duty of the leader runs."""

    def __init__(self) -> None:
        self.rolled_up = asyncio.Event()

    async def roll_up(self) -> None:
        self.rolled_up.set()


class KeysDouble:
    async def list_all(self) -> Sequence[ApiKey]:
        return []


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lock = LockDouble()
        self.store = DispatchDouble()
        self.system = SystemDouble()
        self.metrics = ApiMetrics(version="test")
        queue = MemoryQueue()
        store = cast("Any", self.store)
        self.window = TicketWindow(queue, self.clock)
        policies = TenantPolicies(cast("Any", KeysDouble()), TenantPolicy(), self.clock)
        self.leader = Leader(
            LeaderPorts(
                lock=self.lock,
                dispatch=store,
                projections=cast("Any", ProjectionDouble()),
                system=cast("Any", self.system),
                queue=queue,
            ),
            Dispatcher(store, queue, self.window, policies, self.clock),
            SnapshotPublisher(store, queue, expected_service_seconds=20, clock=self.clock, metrics=self.metrics.leader),
            owner="api-1",
            lease_seconds=LEASE_SECONDS,
            clock=self.clock,
            metrics=self.metrics.leader,
        )

    async def reap(self, rounds: int) -> list[bool]:
        """Lets the reaper tick so many times; gives the rounds that reaped, with whether they excused."""
        self.store.excused.clear()
        for _ in range(rounds):
            await self.leader.reap()
            self.clock.advance(TICK_SECONDS)
        return list(self.store.excused)


async def test_after_a_take_over_it_waits_one_lease_and_excuses_the_first_round() -> None:
    bench = Bench()
    bench.leader.excuse_one_lease()

    assert await bench.reap(6) == []
    assert await bench.reap(2) == [True, False]


async def test_what_one_round_leaves_to_the_next_is_excused_as_well() -> None:
    bench = Bench()
    bench.store.more = True
    bench.leader.excuse_one_lease()

    assert await bench.reap(8) == [True, True]
    bench.store.more = False
    assert await bench.reap(2) == [True, False]


async def test_a_gap_of_its_own_is_excused() -> None:
    bench = Bench()
    assert await bench.reap(1) == [False]
    bench.clock.advance(LEASE_SECONDS)

    assert await bench.reap(8) == [True, False]


async def test_requeued_tasks_are_counted_by_reason() -> None:
    bench = Bench()

    await bench.reap(1)

    body, _ = bench.metrics.exposition("")
    assert b'agents_reaper_requeued_total{reason="crash"} 2.0' in body


async def test_it_leads_only_under_the_lock_and_lets_it_go_when_it_stops() -> None:
    bench = Bench()
    bench.lock.free = False
    run = asyncio.create_task(bench.leader.run())
    await bench.lock.asked.wait()
    assert not bench.system.rolled_up.is_set()

    bench.lock.free = True
    async with asyncio.timeout(5):
        await bench.system.rolled_up.wait()
    assert bench.leader.leading
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert bench.lock.released


async def test_who_loses_the_lock_forgets_the_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.leader.RENEW_SECONDS", 0.01)
    bench = Bench()

    async def until(reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not reached():
                bench.lock.asked.clear()
                await bench.lock.asked.wait()

    run = asyncio.create_task(bench.leader.run())
    await until(lambda: bench.window.backlog is False)
    bench.lock.free = False
    await until(lambda: not bench.leader.leading)

    assert bench.window.backlog is None
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_duty_that_fails_unexpectedly_does_not_end_the_others() -> None:
    bench = Bench()
    failed = asyncio.Event()

    async def broken() -> QueueCounts:
        failed.set()
        raise KeyError("unforeseen")

    bench.store.counts = broken  # type: ignore[method-assign]  # the fault of this test
    run = asyncio.create_task(bench.leader.run())
    async with asyncio.timeout(5):
        await failed.wait()
        await bench.system.rolled_up.wait()

    assert not run.done()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
