"""The stack of `make bench` and `make bench-langgraph`: one worker with many slots, on the embedded store of `up`."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient

from app.cli.embedded.store_server import embedded_store_server
from app.settings import StoreSettings
from tests.support.stack import Stack

SLOTS = 200
WARM_UP_TASKS = SLOTS  # as many as slots: then every slot has its thread, and every connection is open
# The lease is the product's default, not the short one of test stacks. The settings of the store are those of `up`.
MANY_SLOTS = {
    "AGENT_WORKER_CONCURRENCY": str(SLOTS),
    "AGENT_LEASE_SECONDS": "30",
    **embedded_store_server().settings,
}


def wait_for_projections(stack: Stack) -> None:
    """Waits until the copies of every finished task are written, which belong to its cost."""
    with MongoClient[dict[str, Any]](stack.mongo_uri) as client:
        tasks = client[StoreSettings().database]["tasks"]
        stack.wait_until(lambda: tasks.find_one({"unprojected": True}, {"_id": 1}) is None, seconds=60)
