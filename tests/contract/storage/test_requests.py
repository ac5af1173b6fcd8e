"""The requests that a task costs beside its own writes. Each is a round trip, and work for the server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pydantic import SecretStr
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from app.domain.task import TaskResult
from app.ports import RunUpdate
from app.settings import StoreSettings
from app.storage.dispatch import MongoDispatchRepository
from app.storage.mongo import Database
from app.storage.mongo import database as open_database
from app.storage.projections import MongoProjectionRepository
from tests.support.tasks import claim_repository, claimed_task, new_task, task_repository, upkeep_repository


class Requests(CommandListener):
    """The names of the commands that the driver has sent, each with its collection."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        collection = event.command[event.command_name]
        self.sent.append(f"{event.command_name} {collection}" if isinstance(collection, str) else event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
async def observed(mongo_uri: str, indexed_database: Database, requests: Requests) -> AsyncIterator[Database]:
    """Opens the test's database once more, through a client that records its requests."""
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongo_uri, event_listeners=[requests])
    try:
        yield open_database(client, StoreSettings(uri=SecretStr(mongo_uri), database=indexed_database.name))
    finally:
        client.close()


async def test_accepting_a_task_takes_one_request_and_one_more_a_second_for_the_time(
    observed: Database, requests: Requests
) -> None:
    tasks = task_repository(observed)

    for _ in range(3):
        await tasks.insert(new_task(), dispatched=True, new_session=True)

    assert requests.sent == ["hello", *["insert tasks"] * 3]


async def test_two_hundred_expired_leases_take_as_many_requests_as_one(observed: Database, requests: Requests) -> None:
    upkeep = upkeep_repository(observed)
    for number in (1, 200):
        for _ in range(number):
            await claimed_task(observed, lease_seconds=-1)
        requests.sent.clear()
        reaped = await upkeep.reap(excuse_crashes=False)
        assert reaped.requeued == {"crash": number}
        assert [sent for sent in requests.sent if sent != "getMore"] == ["hello", "find tasks", "update tasks"]
        assert requests.sent.count("getMore") <= 1  # the second page of two hundred


async def test_two_hundred_lost_tickets_take_as_many_requests_as_one(observed: Database, requests: Requests) -> None:
    dispatch, tasks = MongoDispatchRepository(observed), task_repository(observed)
    for _ in range(200):
        await tasks.insert(new_task(), dispatched=True, new_session=True)
    first, *others = await dispatch.find_dispatched_before(-60, 200)
    requests.sent.clear()

    for lost in ([first], others):
        assert await dispatch.redispatch(lost) == lost

    assert requests.sent == ["update tasks"] * 2


async def test_a_batch_is_projected_by_a_write_for_each_collection(observed: Database, requests: Requests) -> None:
    task_ids = []
    for _ in range(3):
        task, held = await claimed_task(observed)
        await claim_repository(observed).complete(held, RunUpdate(), TaskResult(summary="done", raw_output="done"))
        task_ids.append(task.id)
    requests.sent.clear()

    await MongoProjectionRepository(observed, patience_seconds=0).project(task_ids)

    written = ["insert messages", "insert logs", "insert sessions", "update tasks"]
    assert requests.sent == ["find tasks", *written]
    assert await observed["tasks"].count_documents({"unprojected": True}) == 0
