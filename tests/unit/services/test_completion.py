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
    """A store with one task; it can be down for the next reading."""

    def __init__(self) -> None:
        self.task = queued_task()
        self.down_once = False
        self.reads = 0

    def end(self, status: TaskStatus) -> None:
        self.task = self.task.model_copy(update={"status": status})

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        self.reads += 1
        if self.down_once:
            self.down_once = False
            raise StoreUnavailable("the store is switched off")
        return self.task


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
    assert harness.store.reads == 2


async def test_a_shutdown_ends_the_waiting() -> None:
    harness = WatchHarness()
    waiting = asyncio.create_task(harness.wait())
    await asyncio.sleep(0)
    harness.shutdown.begin()

    assert (await waiting).status is TaskStatus.QUEUED
    assert harness.store.reads == 1
