"""The errors of a copy."""

from __future__ import annotations

from typing import cast

import pytest

from app.errors import StoreError
from app.storage.mongo import Database
from app.storage.projections import MongoProjectionRepository
from tests.support.refusing_store import DUPLICATE, INVALID, RefusingCollection


async def test_a_copy_that_the_server_refuses_fails_the_projection() -> None:
    collection = RefusingCollection(writeErrors=[INVALID, DUPLICATE])
    projections = MongoProjectionRepository(
        cast("Database", {"tasks": None, "messages": collection}), patience_seconds=0
    )

    with pytest.raises(StoreError, match="code 121"):
        await projections._insert_missing("messages", [{}, {}, {}])


async def test_copies_that_were_there_before_are_returned() -> None:
    collection = RefusingCollection(writeErrors=[DUPLICATE])
    projections = MongoProjectionRepository(
        cast("Database", {"tasks": None, "messages": collection}), patience_seconds=0
    )

    assert await projections._insert_missing("messages", [{"_id": "a"}, {"_id": "b"}]) == [{"_id": "a"}]
