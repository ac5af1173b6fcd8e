"""Tasks that go together in one insert: each caller gets the answer of its own task, with the time of the insert."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from bson.raw_bson import RawBSONDocument

from app.domain.task import NewTask
from app.errors import StoreError, StoreUnavailable
from app.ports import StoredTask
from app.storage import server_clock
from app.storage.batching import AT_ONCE
from app.storage.mongo import Database
from app.storage.tasks import MongoTaskRepository
from tests.support.doubles import ManualClock
from tests.support.refusing_store import INVALID, UNSAFE, RefusingCollection
from tests.support.tasks import new_task

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


class HangingCollection(RefusingCollection):
    """A collection that answers no insert before the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def insert_many(self, documents: Sequence[dict[str, Any] | RawBSONDocument], *, ordered: bool) -> None:
        await super().insert_many(documents, ordered=ordered)
        await self.may_answer.wait()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Runs the clock of the server with that of this process."""
    clock = ManualClock()
    began = clock.monotonic()

    async def server_time(db: Database) -> datetime:
        return NOON + timedelta(seconds=clock.monotonic() - began)

    monkeypatch.setattr(server_clock, "server_time", server_time)
    return clock


def repository(collection: RefusingCollection, clock: ManualClock) -> MongoTaskRepository:
    return MongoTaskRepository(cast("Database", {"tasks": collection}), expiry_seconds=60, clock=clock)


def unencodable() -> NewTask:
    """Builds a task with a key that BSON cannot hold."""
    return new_task(metadata={"a\0b": ""})


async def insert_together(tasks: MongoTaskRepository, new_tasks: Sequence[NewTask]) -> list[StoredTask | BaseException]:
    inserts = (tasks.insert(task, dispatched=True, new_session=True) for task in new_tasks)
    return await asyncio.gather(*inserts, return_exceptions=True)


async def test_a_task_that_is_refused_fails_alone(clock: ManualClock) -> None:
    collection = RefusingCollection(writeErrors=[INVALID])

    # The second one is not sent, so the document at place 2 of the request is that of the last task.
    answers = await insert_together(
        repository(collection, clock), [new_task("a"), unencodable(), new_task("b"), new_task("refused")]
    )

    assert [type(answer) for answer in answers] == [StoredTask, StoreError, StoredTask, StoreError]
    assert [[document["task"] for document in received] for received in collection.received] == [["a", "b", "refused"]]


async def test_nothing_is_sent_if_no_task_can_be_encoded(clock: ManualClock) -> None:
    collection = RefusingCollection()

    answers = await insert_together(repository(collection, clock), [unencodable()])

    assert [type(answer) for answer in answers] == [StoreError]
    assert collection.received == []


async def test_tasks_that_a_crash_may_lose_are_not_accepted(clock: ManualClock) -> None:
    collection = RefusingCollection(writeConcernErrors=[UNSAFE])

    answers = await insert_together(repository(collection, clock), [new_task(), new_task()])

    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]


async def test_the_times_of_a_task_are_those_of_its_insert_and_not_of_its_wait(clock: ManualClock) -> None:
    collection = HangingCollection()
    tasks = repository(collection, clock)
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(tasks.insert(new_task(), dispatched=True, new_session=True))
            for _ in range(5):  # more turns of the loop than the insert takes until it is sent
                await asyncio.sleep(0)
        assert len(collection.received) == AT_ONCE
        last = group.create_task(tasks.insert(new_task(), dispatched=True, new_session=True))
        await asyncio.sleep(0)
        clock.advance(10)
        collection.may_answer.set()

    assert last.result().task.created_at == NOON + timedelta(seconds=10)
