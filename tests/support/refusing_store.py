"""A double of the driver's database whose server refuses documents, which the servers of the tests do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import decode
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

DUPLICATE = {"index": 0, "code": 11000, "errmsg": "duplicate key"}
INVALID = {"index": 2, "code": 121, "errmsg": "Document failed validation"}
# The writes are done, and may be lost with the primary.
UNSAFE = {"code": 64, "errmsg": "waiting for replication timed out"}


class RefusingCollection:
    """A collection that answers each insert with these errors, and records what was to be inserted."""

    def __init__(self, **details: Sequence[Mapping[str, Any]]) -> None:
        self.details = {"writeErrors": [], "writeConcernErrors": [], **details}
        self.received: list[list[dict[str, Any]]] = []

    async def insert_many(self, documents: Sequence[dict[str, Any] | RawBSONDocument], *, ordered: bool) -> None:
        assert not ordered
        self.received.append([decode(one.raw) if isinstance(one, RawBSONDocument) else one for one in documents])
        if any(self.details.values()):
            raise BulkWriteError(self.details)
