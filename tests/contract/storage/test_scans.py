"""The scans of all tasks that wait: each may take longer than the timeout of other operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from app.errors import StoreUnavailable
from app.storage import mongo
from app.storage.changes import MongoChangeRepository
from app.storage.mongo import Database
from app.storage.queue_counts import MongoQueueCounter
from app.storage.system import MongoSystemRepository
from tests.support.tasks import upkeep_repository


@pytest.mark.parametrize("scan", ["sweep", "sort_all_lanes", "count_all", "roll_up", "unfinished"])
async def test_a_scan_has_a_time_limit_of_its_own(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch, scan: str
) -> None:
    upkeep = upkeep_repository(indexed_database)
    scans: dict[str, Callable[[], Awaitable[object]]] = {
        "sweep": upkeep.sweep,
        "sort_all_lanes": upkeep.sort_all_lanes,
        "count_all": MongoQueueCounter(indexed_database).count_all,
        "roll_up": MongoSystemRepository(indexed_database).roll_up,
        "unfinished": partial(MongoChangeRepository(indexed_database).unfinished, cluster="c1", after="", limit=500),
    }
    await scans[scan]()

    monkeypatch.setattr(mongo, "SCAN_SECONDS", 0.000_001)
    with pytest.raises(StoreUnavailable):
        await scans[scan]()
