"""Claims that go together in one request of which the server, or the driver, cannot do a part."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from bson.errors import InvalidBSON
from pymongo.errors import CursorNotFound, NetworkTimeout, OperationFailure

from app.domain.identity import TaskId
from app.domain.task import Task
from app.errors import StoreError, StoreFault, StoreUnavailable
from app.storage.claims import MongoClaimRepository
from app.storage.mongo import Database
from tests.support.tasks import waiting_document

IDS = ["a", "bad", "c"]


class Cursor:
    """The answer to a query: documents, or an error."""

    def __init__(self, documents: Sequence[dict[str, Any]], error: Exception | None) -> None:
        self._documents = documents
        self._error = error

    async def to_list(self) -> Sequence[dict[str, Any]]:
        if self._error is not None:
            raise self._error
        return self._documents


class Collection:
    """A collection that claims each of its tasks once, and fails with the errors for a request that names `bad`."""

    def __init__(self, *, update: Exception | None = None, find: Exception | None = None) -> None:
        self.update = update
        self.find_error = find
        self.requests: list[list[str]] = []
        self.leases: dict[str, str] = {}

    async def update_many(self, claimable: Mapping[str, Any], pipeline: Sequence[Mapping[str, Any]]) -> None:
        ids = claimable["_id"]["$in"]
        self.requests.append(list(ids))
        if self.update is not None and "bad" in ids:
            raise self.update
        for task_id in ids:
            self.leases.setdefault(task_id, f"claim-{task_id}")

    def find(self, query: Mapping[str, Any]) -> Cursor:
        ids = query["_id"]["$in"]
        found = [self._document(task_id) for task_id in ids]
        return Cursor(found, self.find_error if "bad" in ids else None)

    def _document(self, task_id: str) -> dict[str, Any]:
        document = waiting_document("Write.") | {"_id": task_id}
        lease = {"owner": "w", "claim_id": self.leases[task_id], "expires_at": document["due_at"]}
        return document | {"status": "processing", "lease": lease, "epoch": 1}


async def claim_together(collection: Collection) -> Sequence[Task | BaseException | None]:
    claims = MongoClaimRepository(cast("Database", {"tasks": collection}), owner="w", lease_seconds=30)
    wanted = (claims.claim(TaskId(task_id), claim_id=f"claim-{task_id}") for task_id in IDS)
    return await asyncio.gather(*wanted, return_exceptions=True)


@pytest.mark.parametrize(
    ("collection", "meaning"),
    [
        (Collection(update=OperationFailure("not a date", 241)), StoreError),
        (Collection(update=OperationFailure("document too large", 10334)), StoreError),
        (Collection(find=InvalidBSON("bad length")), StoreError),
        (Collection(find=CursorNotFound("cursor not found", 43)), StoreError),
        (Collection(update=OperationFailure("internal error", 1)), StoreFault),
        (Collection(find=OperationFailure("unknown error", 8)), StoreFault),
    ],
)
async def test_a_task_that_fails_a_request_keeps_no_other_from_being_claimed(
    collection: Collection, meaning: type[Exception]
) -> None:
    answers = await claim_together(collection)

    assert [type(answer) for answer in answers] == [Task, meaning, Task]
    assert collection.requests == [IDS, *([task_id] for task_id in IDS)]


@pytest.mark.parametrize("outage", [NetworkTimeout("timed out"), OperationFailure("stepping down", 189)])
async def test_claims_that_an_unavailable_server_refused_are_not_sent_one_by_one(outage: Exception) -> None:
    collection = Collection(update=outage)

    assert [type(answer) for answer in await claim_together(collection)] == [StoreUnavailable] * 3
    assert collection.requests == [IDS]
