"""The database of `agent-orchestrator up` beside results as large as a worker may store them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pymongo import MongoClient

from tests.support.servers import store_server

AT_ONCE = 8
EACH = 3
RESULT_BYTES = 7_500_000
LONGEST_SECONDS = 60


def test_large_results_at_once_do_not_stop_it() -> None:
    with (
        store_server() as server,
        MongoClient[dict[str, Any]](server.url, timeoutMS=LONGEST_SECONDS * 1000) as client,
        ThreadPoolExecutor(AT_ONCE) as workers,
    ):
        tasks = client["large"]["tasks"]

        def store(slot: int) -> list[int]:
            lengths = []
            for number in range(EACH):
                tasks.insert_one({"_id": f"{slot}-{number}", "status": "processing"})
                tasks.update_one({"_id": f"{slot}-{number}"}, {"$set": {"result": "x" * RESULT_BYTES}})
                kept = tasks.find_one({"_id": f"{slot}-{number}"}) or {}
                lengths.append(len(kept["result"]))
            return lengths

        assert list(workers.map(store, range(AT_ONCE))) == [[RESULT_BYTES] * EACH] * AT_ONCE
