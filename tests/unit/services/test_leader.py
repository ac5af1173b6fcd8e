"""The leader: duties only under the lock, and no crash counted if the lease could not be renewed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from app.domain.api_key import ApiKey
from app.domain.fairness import InFlight, Lane, TenantPolicy
from app.domain.identity import TaskId, Tenant
from app.errors import StoreUnavailable
from app.ports import QueueCounts, UpkeepCounts, WaitingTask
from app.services.dispatcher import REPAIR_BATCH, Dispatcher
from app.services.leader import LOCK_SECONDS, REPAIR_TICK_SECONDS, WALK_SECONDS, Leader, LeaderPorts
from app.services.policies import TenantPolicies
from app.services.snapshot import SnapshotPublisher
from app.services.window import TicketWindow
from app.telemetry.metrics import ApiMetrics
from tests.support.doubles import ManualClock, MemoryQueue, TakenBack

LEASE_SECONDS = 30.0
TICK_SECONDS = LEASE_SECONDS / 6


def waiting_task(number: int) -> WaitingTask:
    now = ManualClock().now()
    return WaitingTask(
        task_id=TaskId(f"t{number}"),
        tenant=Tenant("a"),
        rev=1,
        dispatch_seq=1,
        priority=0,
        queued_at=now,
        due_at=now,
        traceparent=None,
        request_id="r",
    )


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
    """A store that records the reaps, and whether they excused crashes. Its only tasks are those of lost tickets."""

    def __init__(self) -> None:
        self.lost: list[WaitingTask] = []
        self.excused: list[bool] = []
        self.more = False
        self.down = False
        self.sorted = asyncio.Event()

    async def sort_into_lanes(self) -> None: ...

    async def waiting_tenants(self, lane: Lane) -> Sequence[Tenant]:
        return []

    async def find_waiting(
        self, lane: Lane, tenants: Sequence[Tenant], limit: int
    ) -> Mapping[Tenant, Sequence[WaitingTask]]:
        raise AssertionError("no tenant waits")

    async def in_flight(self) -> InFlight:
        return InFlight()

    async def release(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        return tasks

    async def take_back(self, task_ids: Sequence[TaskId]) -> None:
        raise AssertionError("this queue takes every ticket")

    async def redispatch(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        self.lost = [task for task in self.lost if task not in tasks]
        return tasks

    async def find_dispatched_before(self, seconds: float, limit: int) -> Sequence[WaitingTask]:
        return self.lost[:limit]

    async def counts(self) -> QueueCounts:
        return QueueCounts()

    async def count_all(self) -> QueueCounts:
        raise AssertionError("the counts are exact")

    async def reap(self, *, excuse_crashes: bool) -> UpkeepCounts:
        if self.down:
            raise StoreUnavailable("the store is switched off")
        self.excused.append(excuse_crashes)
        return UpkeepCounts(requeued={"crash": 2}, more=self.more)

    async def sweep(self) -> UpkeepCounts:
        return UpkeepCounts()

    async def sort_all_lanes(self) -> None:
        self.sorted.set()


class ProjectionDouble:
    async def project(self, task_ids: Sequence[TaskId]) -> None: ...

    async def find_stale(self, limit: int) -> Sequence[TaskId]:
        return []


class RetentionDouble:
    """A store without old documents. It sets an event when it is asked for tasks to remove."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def remove_tasks(self) -> bool:
        self.asked.set()
        return False

    async def remove_events(self) -> bool:
        return False

    async def remove_sessions(self) -> bool:
        return False

    async def remove_keys(self) -> bool:
        return False


class SystemDouble:
    """The duty `roll_up`, which sets an event when it runs."""

    def __init__(self) -> None:
        self.rolled_up = asyncio.Event()

    async def roll_up(self) -> None:
        self.rolled_up.set()


class KeysDouble:
    async def list_all(self) -> Sequence[ApiKey]:
        return []


class LeaderHarness:
    """A leader with doubles of its ports."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lock = LockDouble()
        self.store = DispatchDouble()
        self.retention = RetentionDouble()
        self.system = SystemDouble()
        self.metrics = ApiMetrics(version="test")
        queue = MemoryQueue()
        self.window = TicketWindow(queue, TakenBack(), self.clock)
        policies = TenantPolicies(KeysDouble(), TenantPolicy(), self.clock)
        self.leader = Leader(
            LeaderPorts(
                lock=self.lock,
                upkeep=self.store,
                projections=ProjectionDouble(),
                retention=self.retention,
                system=self.system,
                queue=queue,
            ),
            Dispatcher(self.store, queue, self.window, policies, self.clock),
            SnapshotPublisher(
                self.store,
                queue,
                expected_service_seconds=20,
                policies=policies,
                clock=self.clock,
                metrics=self.metrics.leader,
            ),
            owner="api-1",
            lease_seconds=LEASE_SECONDS,
            clock=self.clock,
            metrics=self.metrics.leader,
        )

    async def reap(self, rounds: int) -> list[bool]:
        """Lets the reaper tick `rounds` times; returns for each round that reaped whether it excused crashes."""
        self.store.excused.clear()
        for _ in range(rounds):
            await self.leader.reap()
            self.clock.advance(TICK_SECONDS)
        return list(self.store.excused)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Waits until the condition holds, which it checks each time the leader asks for its lock."""
        while not reached():
            self.lock.asked.clear()
            await self.lock.asked.wait()


@asynccontextmanager
async def running(harness: LeaderHarness) -> AsyncIterator[asyncio.Task[None]]:
    """Runs the leader until the end of the block, whose conditions must hold within five seconds."""
    run = asyncio.create_task(harness.leader.run())
    try:
        async with asyncio.timeout(5):
            yield run
    finally:
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_after_a_take_over_it_waits_one_lease_and_excuses_the_first_round() -> None:
    harness = LeaderHarness()
    harness.leader.excuse_one_lease()

    assert await harness.reap(6) == []
    assert await harness.reap(2) == [True, False]


async def test_the_rest_of_an_excused_round_is_excused_as_well() -> None:
    harness = LeaderHarness()
    harness.store.more = True
    harness.leader.excuse_one_lease()

    assert await harness.reap(8) == [True, True]
    harness.store.more = False
    assert await harness.reap(2) == [True, False]


async def test_a_gap_of_its_own_is_excused() -> None:
    harness = LeaderHarness()
    assert await harness.reap(1) == [False]
    harness.clock.advance(LEASE_SECONDS)

    assert await harness.reap(8) == [True, False]


async def test_an_outage_of_the_store_is_excused() -> None:
    harness = LeaderHarness()
    harness.store.down = True
    with pytest.raises(StoreUnavailable):
        await harness.leader.reap()
    harness.store.down = False

    assert await harness.reap(6) == []
    assert await harness.reap(2) == [True, False]


async def test_requeued_tasks_are_counted_by_reason() -> None:
    harness = LeaderHarness()

    await harness.reap(1)

    body, _ = harness.metrics.exposition("")
    assert b'agents_reaper_requeued_total{reason="crash"} 2.0' in body


async def test_the_repair_goes_on_at_once_while_more_tickets_may_be_lost() -> None:
    harness = LeaderHarness()
    harness.store.lost = [waiting_task(number) for number in range(2 * REPAIR_BATCH + 1)]

    assert [await harness.leader.repair() for _ in range(3)] == [0.0, 0.0, REPAIR_TICK_SECONDS]
    assert harness.store.lost == []


async def test_it_leads_only_under_the_lock_and_lets_it_go_when_it_stops() -> None:
    harness = LeaderHarness()
    harness.lock.free = False
    async with running(harness):
        await harness.lock.asked.wait()
        assert not harness.system.rolled_up.is_set()

        harness.lock.free = True
        await harness.system.rolled_up.wait()
        assert harness.leader.leading

    assert harness.lock.released


async def test_a_leader_that_loses_the_lock_forgets_the_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.leader.RENEW_SECONDS", 0.01)
    harness = LeaderHarness()

    async with running(harness):
        await harness.until(lambda: harness.window.backlog is False)
        harness.lock.free = False
        await harness.until(lambda: not harness.leader.leading)

        assert harness.window.backlog is None


async def test_a_duty_that_fails_unexpectedly_does_not_end_the_others() -> None:
    harness = LeaderHarness()
    failed = asyncio.Event()

    async def broken() -> QueueCounts:
        failed.set()
        raise KeyError("unforeseen")

    harness.store.counts = broken  # type: ignore[method-assign]  # the fault of this test
    async with running(harness) as run:
        await failed.wait()
        await harness.system.rolled_up.wait()

        assert not run.done()


async def test_tasks_are_removed_while_it_leads() -> None:
    harness = LeaderHarness()

    async with running(harness):
        await harness.retention.asked.wait()


async def test_what_another_leader_left_is_sorted_when_it_takes_over() -> None:
    harness = LeaderHarness()
    harness.lock.free = False
    async with running(harness):
        await harness.lock.asked.wait()
        assert not harness.store.sorted.is_set()

        harness.lock.free = True
        await harness.store.sorted.wait()


async def test_a_take_over_ends_the_pauses_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.leader.RENEW_SECONDS", 0.01)
    harness = LeaderHarness()
    async with running(harness):
        await harness.store.sorted.wait()
        harness.lock.free = False
        await harness.until(lambda: not harness.leader.leading)
        harness.store.sorted.clear()
        harness.clock.advance(LOCK_SECONDS)

        harness.lock.free = True
        await harness.store.sorted.wait()


async def test_a_lock_that_is_renewed_late_ends_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.leader.RENEW_SECONDS", 0.01)
    harness = LeaderHarness()
    async with running(harness):
        await harness.store.sorted.wait()
        harness.lock.free = False
        await harness.until(lambda: not harness.leader.leading)
        harness.store.sorted.clear()
        harness.clock.advance(LOCK_SECONDS - 1)

        harness.lock.free = True
        await harness.until(lambda: harness.leader.leading)
        harness.lock.asked.clear()
        await harness.lock.asked.wait()  # by the next renewal, a duty whose pause had ended would have begun

        assert not harness.store.sorted.is_set()


async def test_scans_of_the_whole_queue_take_a_fiftieth_of_the_time_but_one_that_was_held_up_does_not_count() -> None:
    harness = LeaderHarness()
    seconds = [10, 0, 10, 2, 3]

    async def scan() -> None:
        harness.clock.advance(seconds.pop(0))

    pauses = [await harness.leader.scan("sweep", scan, every_seconds=60) for _ in range(5)]
    assert pauses == [60, 60, 60, 100, 100]


async def test_a_scan_that_fails_slowly_again_and_again_is_followed_by_pauses_in_proportion() -> None:
    harness = LeaderHarness()

    async def pause_after_failing(seconds: float) -> float:
        async def scan() -> None:
            harness.clock.advance(seconds)
            raise StoreUnavailable("the time limit of the scan is over")

        with pytest.raises(StoreUnavailable):
            await harness.leader.scan("sweep", scan, every_seconds=1)
        return harness.leader.pause_after_error("sweep")

    assert [await pause_after_failing(seconds) for seconds in (120, 120, 5, 0, 0)] == [1, 600, 250, 1, 1]
    assert harness.leader.pause_after_error("repair") == 1


async def test_batches_of_removed_documents_follow_each_other_at_once_while_there_are_more() -> None:
    harness = LeaderHarness()
    left = [True, True, False]

    async def remove() -> bool:
        harness.clock.advance(2)
        return left.pop(0)

    assert [await harness.leader.remove(remove, every_seconds=7) for _ in range(3)] == [0, 0, 7]


async def test_a_walk_through_a_collection_takes_a_tenth_of_the_time() -> None:
    harness = LeaderHarness()
    left = [True, False]

    async def remove() -> bool:
        harness.clock.advance(2)
        return left.pop(0)

    assert [await harness.leader.walk(remove) for _ in range(2)] == [18, WALK_SECONDS]
