"""The memory that copying tasks takes, and the progress of a copy that is cut off."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.identity import TaskId
from app.errors import StoreUnavailable
from app.storage import projections as projections_module
from app.storage.mongo import Database
from app.storage.projections import MongoProjectionRepository
from tests.support.tasks import waiting_document

MIB = 1024 * 1024


async def store_answers(db: Database, count: int, *, size: int) -> list[TaskId]:
    """Stores completed tasks with long answers, as the version before this one did: each answer twice."""
    task_ids = []
    for number in range(count):
        text = f"{number:08}" * (size // 8)
        document = waiting_document("Write much.", ttl_seconds=60)
        answer = {"role": "assistant", "content": text, "created_at": document["created_at"]}
        document |= {
            "status": "completed",
            "completed_at": document["created_at"],
            "result": {"summary": "much", "raw_output": text},
            "messages": [*document["messages"], answer],
        }
        await db["tasks"].insert_one(document)
        task_ids.append(TaskId(document["_id"]))
    return task_ids


async def test_a_batch_of_long_answers_is_copied_in_parts(indexed_database: Database) -> None:
    """Forty documents of two MiB each: read and written at once, they took 120 MiB."""
    task_ids = await store_answers(indexed_database, 40, size=MIB)

    tracemalloc.start()
    try:
        await MongoProjectionRepository(indexed_database, patience_seconds=0).project(task_ids)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 48 * MIB
    assert await indexed_database["messages"].count_documents({}) == 80
    assert await indexed_database["tasks"].count_documents({"unprojected": True}) == 0


async def test_a_part_that_is_copied_need_not_be_copied_again(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections_module, "PART_BYTES", 1)
    task_ids = await store_answers(indexed_database, 3, size=8)
    projections = MongoProjectionRepository(indexed_database, patience_seconds=-60)
    insert = projections._insert_missing

    async def fail_at_the_end(collection: str, entries: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        if collection == "agent_runs" and await indexed_database["messages"].count_documents({}) == 4:
            raise StoreUnavailable("the database is away")
        return await insert(collection, entries)

    monkeypatch.setattr(projections, "_insert_missing", fail_at_the_end)
    with pytest.raises(StoreUnavailable):
        await projections.project(task_ids)

    assert len(await projections.find_stale(10)) == 1
