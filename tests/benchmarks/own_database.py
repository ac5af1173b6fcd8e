"""A database of its own for one benchmark, on a server that may hold others."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from tests.support.servers import Server


@contextmanager
def own_database(server: Server) -> Iterator[str]:
    """Yields the name of a new database, and drops that database at the end."""
    name = f"benchmark_{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        with MongoClient[dict[str, Any]](server.url) as client:
            client.drop_database(name)
