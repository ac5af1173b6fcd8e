"""The ticket window: never the whole backlog in Redis, never an accept lost for lack of Redis."""

from __future__ import annotations

from datetime import UTC, datetime

from app.domain.task import Task, TaskStatus
from app.services.window import FRESH_SECONDS, SMALLEST_WINDOW, TicketWindow
from tests.doubles import ManualClock, MemoryQueue, presence
from tests.tasks import TENANT, new_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def accepted() -> Task:
    times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
    return Task(**new_task().model_dump(), status=TaskStatus.QUEUED, rev=1, dispatch_seq=1, **times)


async def test_without_workers_a_few_tickets_may_be_sent() -> None:
    assert await TicketWindow(MemoryQueue(), ManualClock()).room() == SMALLEST_WINDOW


async def test_the_window_is_the_free_slots_of_living_workers() -> None:
    queue = MemoryQueue()
    queue.workers = [presence(slots=8, running=("a", "b")), presence(slots=64, draining=True)]

    assert await TicketWindow(queue, ManualClock()).room() == 6


async def test_accepts_use_up_the_window_and_then_wait() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    window = TicketWindow(queue, clock)

    for _ in range(SMALLEST_WINDOW):
        assert await window.should_dispatch_inline(TENANT, True)
        await window.after_insert(accepted(), True)

    assert not await window.should_dispatch_inline(TENANT, True)
    assert len(queue.tickets) == SMALLEST_WINDOW


async def test_nobody_overtakes_a_backlog_or_its_due_time() -> None:
    window = TicketWindow(MemoryQueue(), ManualClock())
    assert not await window.should_dispatch_inline(TENANT, False)

    window.backlog = True

    assert not await window.should_dispatch_inline(TENANT, True)


async def test_a_task_that_waits_wakes_the_leader() -> None:
    queue = MemoryQueue()

    await TicketWindow(queue, ManualClock()).after_insert(accepted(), False)

    assert queue.kicked == 1


async def test_while_the_broker_is_away_accepts_go_on_and_ask_it_once_a_second() -> None:
    queue, clock = MemoryQueue(), ManualClock()
    queue.down = True
    window = TicketWindow(queue, clock)

    assert not await window.should_dispatch_inline(TENANT, True)
    queue.down = False
    assert not await window.should_dispatch_inline(TENANT, True)
    clock.advance(FRESH_SECONDS)

    assert await window.should_dispatch_inline(TENANT, True)


async def test_a_ticket_that_cannot_be_sent_does_not_fail_the_accept() -> None:
    queue = MemoryQueue()
    queue.down = True

    await TicketWindow(queue, ManualClock()).after_insert(accepted(), True)

    assert queue.tickets == []
