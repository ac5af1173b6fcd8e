"""Requests with several writes, each of which may fail alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteConcernError

_DUPLICATE_KEY = 11000


async def insert_missing(
    collection: AsyncIOMotorCollection[dict[str, Any]], documents: Sequence[dict[str, Any] | RawBSONDocument]
) -> Mapping[int, OperationFailure]:
    """Inserts the documents. Returns the error of each that was not inserted, by its place.

    The error is DuplicateKeyError for a document that was there before.
    """
    try:
        # Unordered: a document that fails must not keep those after it from being inserted.
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as failed:
        return _errors_by_place(failed)
    return {}


def _errors_by_place(failed: BulkWriteError) -> dict[int, OperationFailure]:
    """Returns the error of each write that failed, by its place in the request.

    Raises WriteConcernError if the others are not known to survive a crash of the server.
    """
    details = failed.details or {}
    for unsafe in details.get("writeConcernErrors", ()):
        raise WriteConcernError(unsafe.get("errmsg", ""), unsafe.get("code"), unsafe) from failed
    # By place: the embedded server does not report the key of a duplicate.
    return {problem["index"]: _error(problem) for problem in details.get("writeErrors", ())}


def _error(problem: Mapping[str, Any]) -> OperationFailure:
    kind = DuplicateKeyError if problem.get("code") == _DUPLICATE_KEY else OperationFailure
    return kind(problem.get("errmsg", ""), problem.get("code"), problem)
