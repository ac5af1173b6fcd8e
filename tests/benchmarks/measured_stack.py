"""The stack of `make bench` and `make bench-langgraph`: one worker with many slots, on a database that `up` starts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from pymongo import MongoClient

from app.cli.embedded.store_server import StoreKind, StoreServer, find_store_server
from app.settings import StoreSettings
from tests.support.servers import build_store, running_server
from tests.support.stack import Plan, Stack, running_stack

SLOTS = 200
WARM_UP_TASKS = SLOTS  # as many as slots: then every slot has its thread, and every connection is open
# The lease is the product's default, not the short one of test stacks.
_MANY_SLOTS = {"AGENT_WORKER_CONCURRENCY": str(SLOTS), "AGENT_LEASE_SECONDS": "30"}


def choose_database(description: str | None) -> StoreServer:
    """Reads the command line: the database by the name of its program. Ends the program if it is not installed."""
    parser = argparse.ArgumentParser(description=description)
    names = [kind.value for kind in StoreKind]
    parser.add_argument("--database", choices=names, default=StoreKind.EMBEDDED.value, help="default: %(default)s")
    kind = StoreKind(parser.parse_args().database)
    server = find_store_server(kind)
    if server is None:
        parser.error(f"{kind} is not on the PATH")
    return server


@contextmanager
def running_measured_stack(
    database: StoreServer, settings: Mapping[str, str] = {}, simulator: Sequence[str] = ()
) -> Iterator[Stack]:
    """Starts the stack on an empty database, with the settings that `up` gives with it."""
    plan = Plan(settings={**_MANY_SLOTS, **database.settings, **settings}, simulator=simulator)
    building = partial(build_store, server=database)
    with running_server(building, "ao-store-") as store, running_stack(plan, store=store) as stack:
        yield stack


def wait_for_projections(stack: Stack) -> None:
    """Waits until the copies of every finished task are written, which belong to its cost."""
    with MongoClient[dict[str, Any]](stack.mongo_uri) as client:
        tasks = client[StoreSettings().database]["tasks"]
        stack.wait_until(lambda: tasks.find_one({"unprojected": True}, {"_id": 1}) is None, seconds=60)
