"""All repositories of the API on one database client."""

from __future__ import annotations

from app.ports import Clock
from app.settings import Settings
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.api_keys import MongoApiKeyRepository
from app.storage.changes import MongoChangeRepository
from app.storage.dispatch import MongoDispatchRepository
from app.storage.idempotency import MongoIdempotencyRepository
from app.storage.leadership import MongoLeaderLock
from app.storage.mongo import connect, database, ensure_indexes
from app.storage.projections import MongoProjectionRepository
from app.storage.queue_counts import MongoQueueCounter
from app.storage.retention import MongoRetentionRepository
from app.storage.scaling_log import MongoScalingLog
from app.storage.sessions import MongoSessionRepository
from app.storage.system import MongoSystemRepository
from app.storage.tasks import MongoTaskRepository
from app.storage.upkeep import MongoUpkeepRepository


class Stores:
    """The repositories. They belong to the event loop that they were made in."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        execution = settings.execution
        self._few_indexes = settings.store.few_indexes
        self._client = connect(settings.store)
        self._db = database(self._client, settings.store)
        self.tasks = MongoTaskRepository(self._db, expiry_seconds=execution.expiry_seconds, clock=clock)
        self.changes = MongoChangeRepository(self._db)
        self.sessions = MongoSessionRepository(self._db)
        self.idempotency = MongoIdempotencyRepository(self._db)
        self.api_keys = MongoApiKeyRepository(self._db)
        self.agents = MongoAgentDirectory(self._db)
        self.system = MongoSystemRepository(self._db)
        self.scaling = MongoScalingLog(self._db)
        self.dispatch = MongoDispatchRepository(self._db)
        self.queue_counter = MongoQueueCounter(self._db)
        self.upkeep = MongoUpkeepRepository(self._db, max_crashes=execution.max_crashes)
        self.retention = MongoRetentionRepository(self._db, settings.retention)
        self.leadership = MongoLeaderLock(self._db)
        # Workers project the tasks that they finish. The leader projects what is still left after two leases.
        self.projections = MongoProjectionRepository(self._db, patience_seconds=2 * execution.lease_seconds)

    async def ensure_indexes(self) -> None:
        """Creates missing indexes and drops unused ones. Raises StoreUnavailable."""
        await ensure_indexes(self._db, few=self._few_indexes)

    def close(self) -> None:
        self._client.close()
