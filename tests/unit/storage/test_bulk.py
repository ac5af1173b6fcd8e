"""The errors of single documents in one insert."""

from __future__ import annotations

from typing import Any, cast

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import DuplicateKeyError, OperationFailure, WriteConcernError

from app.storage.bulk import insert_missing
from tests.support.refusing_store import DUPLICATE, INVALID, UNSAFE, RefusingCollection


def motor(collection: RefusingCollection) -> AsyncIOMotorCollection[dict[str, Any]]:
    return cast("AsyncIOMotorCollection[dict[str, Any]]", collection)


async def test_each_document_that_is_not_inserted_has_its_own_error() -> None:
    collection = RefusingCollection(writeErrors=[INVALID, DUPLICATE])

    errors = await insert_missing(motor(collection), [{}, {}, {}])

    assert {place: (type(error), error.code) for place, error in errors.items()} == {
        0: (DuplicateKeyError, 11000),
        2: (OperationFailure, 121),
    }


async def test_writes_that_a_crash_may_lose_fail_all_documents() -> None:
    collection = RefusingCollection(writeErrors=[DUPLICATE], writeConcernErrors=[UNSAFE])

    with pytest.raises(WriteConcernError, match="waiting for replication"):
        await insert_missing(motor(collection), [{}, {}])
