"""The database client, its indexes, and the one map from driver errors to ours.

Every write waits for the majority and the journal: a task is accepted only when it would survive a crash. Queries run
on MongoDB 7, and on compatible servers without transactions, change streams, collation or findAndModify. One of these
is the embedded server of the command line; it is meant for a few thousand documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference, WriteConcern
from pymongo.errors import (
    AutoReconnect,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern

from app.errors import StoreError, StoreFault, StoreUnavailable, StoreUnsuitable
from app.settings import StoreSettings

Database = AsyncIOMotorDatabase[dict[str, Any]]

# In the answer of a mongos to `hello`. Leases need the one clock of a primary; each mongos puts its own into `$$NOW`.
_ROUTER = "isdbgrid"

# Codes of a server that starts, stops or changes its primary. The operation may be tried again.
_PASSING_CODES = frozenset({6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
# InternalError and UnknownError: they pass if the server recovers, and stay if it cannot do just this operation.
_FAULT_CODES = frozenset({1, 8})
# TypeMismatch and ConversionFailure. The other errors of expressions have the numbers of places in MongoDB's source.
_EXPRESSION_CODES = frozenset({14, 241})
_FIRST_LOCATION_CODE = 15_000
_INDEX_NOT_FOUND = 27
# What the driver raises for a document that it cannot encode or decode, such as one with a lone surrogate in a text, or
# with a date that leaves its range in UTC.
CODEC_ERRORS = (BSONError, UnicodeError, OverflowError)
_UNAVAILABLE = (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
    WriteConcernError,
)

# Every write pays for each index of `tasks`. Claims and leases have none: a claimed task is found by its id, and an
# expired lease among the tasks in processing, whose number the slots of all workers bound.
INDEXES: dict[str, list[IndexModel]] = {
    "tasks": [
        IndexModel(
            [
                ("status", ASCENDING),
                ("lane", ASCENDING),
                ("tenant", ASCENDING),
                ("priority", DESCENDING),
                ("queued_at", ASCENDING),
            ],
            name="lanes",
        ),
        IndexModel([("delayed_until", ASCENDING)], name="delayed", sparse=True),
        IndexModel([("tenant", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="list"),
        IndexModel([("session_id", ASCENDING), ("tenant", ASCENDING), ("created_at", ASCENDING)], name="session_owner"),
        IndexModel([("changed_at", ASCENDING), ("_id", ASCENDING)], name="changes"),
        # Sparse: the mark is removed by projection, so the index holds only the tasks that still wait for it.
        IndexModel([("unprojected", ASCENDING), ("changed_at", ASCENDING)], name="unprojected", sparse=True),
        # No TTL index of the server: the leader removes a task's projections together with the task.
        IndexModel([("remove_at", ASCENDING)], name="ttl", sparse=True),
    ],
    "agent_runs": [IndexModel([("task_id", ASCENDING)], name="task")],
    "messages": [IndexModel([("task_id", ASCENDING)], name="task")],
    "logs": [IndexModel([("task_id", ASCENDING)], name="task"), IndexModel([("at", ASCENDING)], name="age")],
    "api_keys": [IndexModel([("sha256", ASCENDING)], name="hash", unique=True)],
    "scaling_decisions": [IndexModel([("at", DESCENDING)], name="latest")],
    "system_metrics": [IndexModel([("hour", ASCENDING)], name="hour")],
}

# Indexes of earlier versions that no query uses. A process of such a version creates them again; that does no harm.
UNUSED_INDEXES = {"messages": ("session",), "sessions": ("tenant",)}
# Indexes that a small installation can do without, because it reads all tasks in a moment: they serve the lists of a
# tenant among many, and the changes feed, which an operator reads.
SPARED_INDEXES = {"tasks": ("list", "changes")}
# A scan may read a million tasks; each other operation keeps to the timeout of the settings.
SCAN_SECONDS = 120.0


def connect(settings: StoreSettings) -> AsyncIOMotorClient[dict[str, Any]]:
    """Builds a client for this event loop; it connects on first use."""
    milliseconds = int(settings.timeout_seconds * 1000)
    return AsyncIOMotorClient(
        settings.uri.get_secret_value(),
        tz_aware=True,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=milliseconds,
        # The driver's retries need transaction numbers, which not every compatible server has. All writes are safe to
        # repeat, and the callers repeat them.
        retryWrites=False,
        appname="agent-orchestrator",
    )


def database(client: AsyncIOMotorClient[dict[str, Any]], settings: StoreSettings) -> Database:
    """Opens the product's database, with dates in UTC and writes that survive a crash of the server."""
    return client.get_database(
        settings.database,
        # One document that another program wrote must not keep a whole batch from being read: a date beyond the year
        # 9999 becomes the last one, and broken UTF-8 a replacement character.
        codec_options=CodecOptions(
            tz_aware=True,
            datetime_conversion=DatetimeConversion.DATETIME_CLAMP,
            unicode_decode_error_handler="replace",
        ),
        # Whatever the URI demands: a secondary may lack a claim that was just granted, and a primary that is cut off
        # would show what is rolled back later.
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        # Without the journal the embedded server lost 8 to 28 acknowledged writes per SIGKILL. It costs 0.25 ms.
        write_concern=WriteConcern(w="majority", j=True),
    )


async def ensure_indexes(db: Database, *, few: bool = False) -> None:
    """Creates missing indexes and drops unused ones; called at every start of the API. Raises StoreUnavailable.

    With `few` those of `SPARED_INDEXES` count as unused.
    """
    await server_time(db)  # an unavailable server is not waited for as long as an index of a million tasks
    spared = SPARED_INDEXES if few else {}
    with store_errors("create indexes"), scan_time():
        for collection, indexes in INDEXES.items():
            wanted = [index for index in indexes if index.document["name"] not in spared.get(collection, ())]
            await db[collection].create_indexes(wanted)
    with store_errors("drop unused indexes"):
        for collection in UNUSED_INDEXES.keys() | spared.keys():
            unused = {*UNUSED_INDEXES.get(collection, ()), *spared.get(collection, ())}
            for name in unused & (await db[collection].index_information()).keys():
                await _drop_index(db, collection, name)


async def _drop_index(db: Database, collection: str, name: str) -> None:
    try:
        await db[collection].drop_index(name)
    except OperationFailure as error:
        if error.code != _INDEX_NOT_FOUND:  # another process that starts at the same time was faster
            raise


@contextmanager
def scan_time() -> Iterator[None]:
    """Gives the operations in the body two minutes, all together, in place of the timeout of the settings."""
    with pymongo.timeout(SCAN_SECONDS):
        yield


async def server_time(db: Database) -> datetime:
    """Reads the database server's time, aware UTC. Raises StoreUnavailable, and StoreUnsuitable for a mongos."""
    with store_errors("read the server's time"):
        answer = await db.command("hello", codec_options=db.codec_options)
    if answer.get("msg") == _ROUTER:
        raise StoreUnsuitable(
            "A sharded MongoDB is not supported, because its routers (mongos) have clocks of their own: let MONGO_URI "
            "name a replica set."
        )
    now: datetime = answer["localTime"]
    return now


def is_outage(error: Exception) -> bool:
    """Checks whether the server is unavailable, so that any other operation would fail now in the same way."""
    if isinstance(error, StoreUnavailable):
        return not isinstance(error, StoreFault)
    code = error.code if isinstance(error, OperationFailure) else None
    return isinstance(error, _UNAVAILABLE) or code in _PASSING_CODES


def will_pass(error: OperationFailure) -> bool:
    """Checks whether the server may be able to do the same operation later: the operation itself is not at fault."""
    return is_outage(error) or error.code in _FAULT_CODES


def is_of_document(error: OperationFailure) -> bool:
    """Checks whether an expression cannot take what one document holds, such as a text where a date should be."""
    return error.code in _EXPRESSION_CODES or (error.code or 0) >= _FIRST_LOCATION_CODE


@contextmanager
def store_errors(action: str) -> Iterator[None]:
    """Maps every error that the driver raises in the body. `action` names the operation ("claim task 4f…").

    DuplicateKeyError passes through: for its callers it means that a document was there first.
    """
    try:
        yield
    except DuplicateKeyError:
        raise
    except _UNAVAILABLE as error:
        raise StoreUnavailable(f"MongoDB did not answer the request to {action}; try again") from error
    except OperationFailure as error:
        if error.code in _PASSING_CODES:
            raise StoreUnavailable(f"MongoDB could not {action} just now (code {error.code}); try again") from error
        if error.code in _FAULT_CODES:
            raise StoreFault(f"MongoDB failed to {action} (code {error.code}); try again") from error
        raise StoreError(f"MongoDB refused to {action} (code {error.code})") from error
    except (PyMongoError, *CODEC_ERRORS) as error:
        raise StoreError(f"MongoDB driver failed to {action}: {type(error).__name__}") from error
