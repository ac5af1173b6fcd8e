"""Writes to many tasks of which one must not keep the others from being written.

A document that another program wrote may hold a field that no expression takes, such as a text where a date should be.
The server ends an update at the first such document, in every round. It is set aside then: logged, and left alone for
as long as this process lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import UpdateOne
from pymongo.errors import OperationFailure

from app.storage.mongo import is_of_document, will_pass
from app.telemetry.logs import get_logger

Filter = dict[str, Any]
Pipeline = list[dict[str, Any]]
# Documents of one round: a larger one would work longer on what it read at first.
BATCH = 200

_log = get_logger(__name__)


def malformed(document: dict[str, Any], *, numbers: Sequence[str]) -> list[str]:
    """Returns the names of the fields that are neither unset nor of their type: numbers, and the lease."""
    wrong = [name for name in numbers if not isinstance(document.get(name) or 0, int | float)]
    return wrong if isinstance(document.get("lease") or {}, dict) else [*wrong, "lease"]


class CarefulWrites:
    """The writes to one collection, and the ids of the documents that were set aside: few or none."""

    def __init__(self, collection: AsyncIOMotorCollection[dict[str, Any]]) -> None:
        self._collection = collection
        self._set_aside: set[str] = set()

    def without_set_aside(self, which: Filter) -> Filter:
        """Narrows the filter, which must not name ids, to the documents that can be written."""
        return {**which, "_id": {"$nin": sorted(self._set_aside)}} if self._set_aside else which

    def set_aside_malformed(
        self, documents: Sequence[dict[str, Any]], *, numbers: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Returns the documents whose fields have the types that a decision needs, and sets the others aside."""
        well_formed = []
        for document in documents:
            if wrong := malformed(document, numbers=numbers):
                self._set_aside.add(document["_id"])
                _log.error("task_set_aside", task_id=document["_id"], fields=wrong)
            else:
                well_formed.append(document)
        return well_formed

    async def write_each(self, writes: Sequence[tuple[Filter, Pipeline]]) -> int:
        """Writes the documents in one request, and returns how many matched. Each filter names one `_id`.

        Raises OperationFailure, after the others are written, if the server refuses a document for another reason.
        """
        if not writes:
            return 0
        try:
            updates = [UpdateOne(seen, pipeline) for seen, pipeline in writes]
            return (await self._collection.bulk_write(updates, ordered=False)).matched_count
        except OperationFailure as error:
            if will_pass(error):
                raise
            matched = int((error.details or {}).get("nMatched", 0))  # those that were written before it
        refused = None
        for seen, pipeline in writes:
            try:
                matched += (await self._collection.update_one(seen, pipeline)).matched_count
            except OperationFailure as error:
                if will_pass(error):
                    raise
                if is_of_document(error):
                    self._set_aside.add(seen["_id"])
                    _log.error("task_set_aside", task_id=seen["_id"], code=error.code)
                else:
                    _log.error("task_not_written", task_id=seen["_id"], code=error.code)
                    refused = error  # perhaps for good, and perhaps all documents
        if refused is not None:
            raise refused
        return matched

    async def write_all(self, which: Filter, pipeline: Pipeline) -> int:
        """Writes all matching documents, and returns their number."""
        others = which if "_id" in which else self.without_set_aside(which)
        try:
            return (await self._collection.update_many(others, pipeline)).matched_count
        except OperationFailure as error:  # it ended at the first such document
            if will_pass(error):
                raise
            found = await self._collection.find(others, {"_id": 1}).limit(BATCH).to_list()
            return await self.write_each([({**which, "_id": document["_id"]}, pipeline) for document in found])
