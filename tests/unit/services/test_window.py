"""The ticket window: never the whole backlog in Redis, never an accept lost for lack of Redis."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from app.domain.task import Task, TaskStatus
from app.services.window import FRESH_SECONDS, SMALLEST_WINDOW, TicketWindow
from tests.support.doubles import ManualClock, MemoryQueue, TakenBack, presence
from tests.support.tasks import TENANT, new_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def accepted() -> Task:
    times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
    return Task(**new_task().model_dump(), status=TaskStatus.QUEUED, rev=1, dispatch_seq=1, **times)


async def test_without_workers_a_few_tickets_may_be_sent() -> None:
    assert await TicketWindow(MemoryQueue(), TakenBack(), ManualClock()).room() == SMALLEST_WINDOW


async def test_the_window_is_the_free_slots_of_living_workers() -> None:
    queue = MemoryQueue()
    queue.workers = [presence(slots=8, running=("a", "b")), presence(slots=64, draining=True)]

    assert await TicketWindow(queue, TakenBack(), ManualClock()).room() == 6


async def test_accepts_use_up_the_window_and_then_wait() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    window = TicketWindow(queue, TakenBack(), clock)

    for _ in range(SMALLEST_WINDOW):
        assert await window.should_dispatch_inline(delayed=False, limited=False)
        window.after_insert(accepted(), True)
    await window.drain()

    assert not await window.should_dispatch_inline(delayed=False, limited=False)
    assert len(queue.tickets) == SMALLEST_WINDOW


async def test_tickets_being_sent_take_up_room() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    queue.hold = asyncio.Event()
    window = TicketWindow(queue, TakenBack(), clock)

    inline = 0
    for _ in range(3 * SMALLEST_WINDOW):
        clock.advance(FRESH_SECONDS)
        if await window.should_dispatch_inline(delayed=False, limited=False):
            window.after_insert(accepted(), True)
            inline += 1
        if inline == 1:
            await queue.held.wait()
    queue.hold.set()
    await window.drain()

    assert inline == len(queue.tickets) == SMALLEST_WINDOW


async def test_an_unforeseen_fault_of_the_queue_does_not_stop_later_tickets() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    window = TicketWindow(queue, TakenBack(), clock)
    queue.fault = KeyError("unforeseen")
    window.after_insert(accepted(), True)
    await window.drain()
    queue.fault = None
    clock.advance(FRESH_SECONDS)

    window.after_insert(accepted(), True)
    await window.drain()

    assert len(queue.tickets) == 1


async def test_a_tenant_with_a_limit_goes_through_the_dispatcher() -> None:
    window = TicketWindow(MemoryQueue(), TakenBack(), ManualClock())

    assert not await window.should_dispatch_inline(delayed=False, limited=True)


async def test_no_task_overtakes_a_backlog_or_its_due_time() -> None:
    window = TicketWindow(MemoryQueue(), TakenBack(), ManualClock())
    assert not await window.should_dispatch_inline(delayed=True, limited=False)

    window.backlog = True

    assert not await window.should_dispatch_inline(delayed=False, limited=False)


async def test_a_task_that_waits_wakes_the_leader() -> None:
    queue = MemoryQueue()

    window = TicketWindow(queue, TakenBack(), ManualClock())
    window.after_insert(accepted(), False)
    await window.drain()

    assert queue.kicked == [TENANT]


async def test_accepts_go_on_during_an_outage_and_read_redis_once_a_second() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    queue.down = True
    window = TicketWindow(queue, TakenBack(), clock)

    assert not await window.should_dispatch_inline(delayed=False, limited=False)
    queue.down = False
    assert not await window.should_dispatch_inline(delayed=False, limited=False)
    clock.advance(FRESH_SECONDS)

    assert await window.should_dispatch_inline(delayed=False, limited=False)


async def test_a_ticket_that_cannot_be_sent_does_not_fail_the_accept() -> None:
    queue = MemoryQueue()
    queue.down = True

    task, taken_back = accepted(), TakenBack()
    window = TicketWindow(queue, taken_back, ManualClock())
    window.after_insert(task, True)
    await window.drain()

    assert queue.tickets == []
    assert taken_back.task_ids == [task.id]


async def test_tickets_that_gather_are_sent_together() -> None:
    queue = MemoryQueue()
    window = TicketWindow(queue, TakenBack(), ManualClock())

    for _ in range(3):
        window.after_insert(accepted(), True)
    await window.drain()

    assert len(queue.tickets) == 3
    assert queue.publishes == 1


@pytest.mark.parametrize(("waiting", "inline"), [(0, True), (3, False)])
async def test_the_snapshot_of_another_leader_decides_whether_tasks_wait(waiting: int, inline: bool) -> None:
    queue = MemoryQueue()
    queue.published = {"waiting": waiting}

    assert (
        await TicketWindow(queue, TakenBack(), ManualClock()).should_dispatch_inline(delayed=False, limited=False)
        is inline
    )


async def test_the_leader_trusts_its_own_backlog_before_its_snapshot() -> None:
    queue = MemoryQueue()
    queue.published = {"waiting": 3}
    window = TicketWindow(queue, TakenBack(), ManualClock())
    window.backlog = False

    assert await window.should_dispatch_inline(delayed=False, limited=False)
