"""The size of the queue: exact while few wait, and at least so much beyond a limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.fairness import QUARANTINE_CRASHES
from app.domain.identity import Tenant
from app.storage import queue_counts
from app.storage.mongo import Database
from app.storage.queue_counts import MongoQueueCounter
from tests.support.tasks import TENANT, waiting_document

LIMIT = 5


async def insert(db: Database, number: int, *, tenant: Tenant = TENANT, minutes: int = 0, **fields: object) -> None:
    due_at = datetime.now(UTC) - timedelta(minutes=minutes)
    documents = [{**waiting_document("x", tenant=tenant), "due_at": due_at, **fields} for _ in range(number)]
    await db["tasks"].insert_many(documents)


async def test_tasks_are_counted_by_tenant_with_the_age_of_the_oldest(indexed_database: Database) -> None:
    other = Tenant("other")
    await insert(indexed_database, 2, minutes=1)
    await insert(indexed_database, 1, tenant=other, minutes=5)
    await insert(indexed_database, 3, lane="quarantined", crashes=QUARANTINE_CRASHES)
    await insert(indexed_database, 4, lane="delayed")

    counts = await MongoQueueCounter(indexed_database).counts()

    assert (counts.by_tenant, counts.quarantined) == ({TENANT: 2, other: 1}, 3)
    assert (counts.waiting, counts.exact) == (6, True)
    assert {tenant: round(age / 60) for tenant, age in counts.oldest_by_tenant.items()} == {TENANT: 1, other: 5}
    assert round(counts.oldest_age_seconds / 60) == 5


async def test_counting_ends_at_a_limit_and_a_full_count_does_not(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_counts, "COUNT_LIMIT", LIMIT)
    await insert(indexed_database, LIMIT + 2)
    counter = MongoQueueCounter(indexed_database)

    bounded, everything = await counter.counts(), await counter.count_all()

    assert (bounded.waiting, bounded.exact) == (LIMIT, False)
    assert (everything.waiting, everything.exact) == (LIMIT + 2, True)


async def test_a_tenant_with_very_many_tasks_does_not_hide_the_others(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_counts, "COUNT_LIMIT", LIMIT)
    monkeypatch.setattr(queue_counts, "FURTHER_LIMIT", 2)
    first, second, third = Tenant("a"), Tenant("b"), Tenant("c")
    for tenant, number in ((first, 40 * LIMIT), (second, 3), (third, 1)):
        await insert(indexed_database, number, tenant=tenant)

    counts = await MongoQueueCounter(indexed_database).counts()

    assert counts.by_tenant.keys() == {first, second, third}
    assert counts.by_tenant[third] == 1
    assert not counts.exact


async def test_an_empty_queue_has_no_age(indexed_database: Database) -> None:
    counts = await MongoQueueCounter(indexed_database).counts()

    assert (counts.waiting, counts.in_flight.total, counts.oldest_age_seconds, counts.exact) == (0, 0, 0.0, True)


async def test_a_text_in_place_of_a_date_keeps_no_figures_from_being_published(indexed_database: Database) -> None:
    await insert(indexed_database, 1, due_at="tomorrow")
    await insert(indexed_database, 1)

    counts = await MongoQueueCounter(indexed_database).counts()

    assert (counts.waiting, counts.oldest_age_seconds) == (2, 0.0)
