"""The lock that makes one API process the leader: one document, taken and renewed by compare-and-set."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from app.storage.mongo import Database, server_time, store_errors
from app.storage.writes import later, literal

_LOCK_ID = "leader"


class MongoLeaderLock:
    """Implements `app.ports.LeaderLock` on the collection `locks`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._locks = db["locks"]

    async def acquire(self, owner: str, *, seconds: float) -> bool:
        # The server's time as a value: filters cannot use `$$NOW` beside an index on every compatible server.
        now = await server_time(self._db)
        mine_or_free = {"_id": _LOCK_ID, "$or": [{"owner": owner}, {"expires_at": {"$lt": now}}]}
        held = [{"$set": {"owner": literal(owner), "expires_at": later(seconds)}}]
        with store_errors("take the leader lock"):
            if (await self._locks.update_one(mine_or_free, held)).matched_count:
                return True
            if await self._locks.find_one({"_id": _LOCK_ID}, {"_id": 1}) is not None:
                return False
            # The lock was released, or never taken. Two processes may both come here: the unique id lets one in.
            try:
                await self._locks.update_one({"_id": _LOCK_ID, "owner": owner}, held, upsert=True)
            except DuplicateKeyError:
                return False
            return True

    async def release(self, owner: str) -> None:
        with store_errors("release the leader lock"):
            await self._locks.delete_one({"_id": _LOCK_ID, "owner": owner})
