"""The memory that copying tasks takes, the progress of a copy that is cut off, and copies that are made anew."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from app.domain.identity import TaskId
from app.domain.task import TaskResult
from app.errors import StoreUnavailable
from app.ports import RunUpdate
from app.storage import projections as projections_module
from app.storage.documents import BEGINNING_CHARACTERS, CUT_MARK
from app.storage.mongo import Database
from app.storage.projections import MongoProjectionRepository
from tests.support.tasks import claim_repository, claimed_task, waiting_document

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


async def test_a_short_copy_of_an_answer_is_made_anew_by_the_lines_in_the_upgrade_notes(
    indexed_database: Database,
) -> None:
    """A leader of version 0.1 copies the message as the document has it."""
    task, held = await claimed_task(indexed_database)
    text = "x" * (BEGINNING_CHARACTERS + 1)
    await claim_repository(indexed_database).complete(held, RunUpdate(), TaskResult(summary="x", raw_output=text))
    messages, tasks = indexed_database["messages"], indexed_database["tasks"]
    await messages.insert_one(
        {"_id": f"{task.id}:1", "task_id": task.id, "role": "assistant", "content": text[:-1] + CUT_MARK}
    )

    short = {"role": "assistant", "content": {"$regex": r"\n\[…\]$"}}
    cut_off = await messages.distinct("task_id", short)
    await messages.delete_many({**short, "task_id": {"$in": cut_off}})
    await tasks.update_many({"_id": {"$in": cut_off}}, {"$set": {"unprojected": True}})
    projections = MongoProjectionRepository(indexed_database, patience_seconds=-60)
    await projections.project(await projections.find_stale(10))

    copies = await messages.find({"role": "assistant"}).to_list()
    assert [copy["content"] for copy in copies] == [text]
