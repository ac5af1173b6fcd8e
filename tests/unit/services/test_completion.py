"""Waiting for the end of a task: woken by Redis, safe without it, and over when the process stops."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from app.domain.identity import TaskId, Tenant
from app.domain.task import Task, TaskStatus
from app.errors import StoreUnavailable
from app.services.completion import CompletionWatch
from app.services.shutdown import Shutdown
from tests.support.doubles import ManualClock, MemoryQueue
from tests.support.tasks import new_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def queued_task() -> Task:
    times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
    return Task(**new_task().model_dump(), status=TaskStatus.QUEUED, rev=1, dispatch_seq=1, **times)


class OneTask:
    """A store with one task, which may end at a poll; it can be down for the next reading."""

    def __init__(self) -> None:
        self.task = queued_task()
        self.down_once = False
        self.ends_at_poll: int | None = None
        self.polls = 0
        self.reads = 0

    def end(self, status: TaskStatus) -> None:
        self.task = self.task.model_copy(update={"status": status})

    async def has_ended(self, tenant: Tenant, task_id: TaskId) -> bool:
        self.polls += 1
        self._answer()
        if self.polls == self.ends_at_poll:
            self.end(TaskStatus.COMPLETED)
        return self.task.status.terminal

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        self.reads += 1
        self._answer()
        return self.task

    def _answer(self) -> None:
        if self.down_once:
            self.down_once = False
            raise StoreUnavailable("the store is switched off")


class WatchHarness:
    """A watch over one task; its clock does not move, so that only an end or the shutdown ends the waiting."""

    def __init__(self) -> None:
        self.store = OneTask()
        self.queue = MemoryQueue()
        self.shutdown = Shutdown()
        self.watch = CompletionWatch(cast("Any", self.store), self.queue, ManualClock(), self.shutdown)

    async def wait(self) -> Task:
        async with asyncio.timeout(5):
            return await self.watch.wait(self.store.task, seconds=60)


async def test_a_published_end_wakes_the_waiter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.completion.FIRST_READ_SECONDS", 60.0)
    harness = WatchHarness()
    waiting = asyncio.create_task(harness.wait())
    await asyncio.sleep(0)
    harness.store.end(TaskStatus.COMPLETED)
    harness.queue.messages = [harness.store.task.id]

    await harness.watch.run()

    assert (await waiting).status is TaskStatus.COMPLETED


async def test_a_lost_message_and_an_outage_only_delay_the_answer() -> None:
    harness = WatchHarness()
    waiting = asyncio.create_task(harness.wait())
    await asyncio.sleep(0)
    harness.store.down_once = True
    harness.store.end(TaskStatus.FAILED)

    assert (await waiting).status is TaskStatus.FAILED
    assert (harness.store.polls, harness.store.reads) == (2, 1)


async def test_the_whole_task_is_read_once_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.completion.LONGEST_PAUSE_SECONDS", 0.001)
    harness = WatchHarness()
    harness.store.ends_at_poll = 5

    assert (await harness.wait()).status is TaskStatus.COMPLETED
    assert (harness.store.polls, harness.store.reads) == (5, 1)


async def test_a_shutdown_ends_the_waiting() -> None:
    harness = WatchHarness()
    waiting = asyncio.create_task(harness.wait())
    await asyncio.sleep(0)
    harness.shutdown.begin()

    assert (await waiting).status is TaskStatus.QUEUED
    assert (harness.store.polls, harness.store.reads) == (1, 1)


async def test_after_a_poll_that_failed_the_last_state_is_not_read() -> None:
    harness = WatchHarness()
    waiting = asyncio.create_task(harness.wait())
    await asyncio.sleep(0)
    harness.store.down_once = True
    harness.shutdown.begin()

    assert (await waiting).status is TaskStatus.QUEUED
    assert (harness.store.polls, harness.store.reads) == (1, 0)
