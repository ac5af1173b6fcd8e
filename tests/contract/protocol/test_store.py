"""The protocol on the real repositories and a real server. Time passes by making every document older."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from pydantic import SecretStr

from app.domain.fairness import WAITING_LANES
from app.domain.identity import ClaimId, TaskId
from app.domain.task import TaskResult
from app.ports import Claim, RunUpdate
from app.settings import StoreSettings
from app.storage.claims import MongoClaimRepository
from app.storage.dispatch import MongoDispatchRepository
from app.storage.mongo import connect, database, ensure_indexes
from app.storage.writes import milliseconds
from tests.protocol.machine import ProtocolMachine
from tests.protocol.store import LEASE_SECONDS, LOST_AFTER_SECONDS, Grant, Seen
from tests.support.tasks import TENANT, new_task, step, task_repository, upkeep_repository

T = TypeVar("T")
MANY = 10_000
A_FEW = settings(max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


class StoredTasks:
    """The `ProtocolStore` of the product's repositories, driven from synchronous code."""

    def __init__(self, uri: str, runner: asyncio.Runner) -> None:
        store = StoreSettings(uri=SecretStr(uri), database=f"test_{uuid.uuid4().hex[:16]}")
        self._runner = runner
        self._client = self._do(self._connect(store))
        self._db = database(self._client, store)
        self._tasks = task_repository(self._db)
        self._claims = MongoClaimRepository(self._db, owner="w", lease_seconds=LEASE_SECONDS)
        self._dispatch = MongoDispatchRepository(self._db)
        self._upkeep = upkeep_repository(self._db)
        self._do(ensure_indexes(self._db))

    async def _connect(self, store: StoreSettings) -> Any:
        return connect(store)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def drop(self) -> None:
        self._do(self._drop())
        self._client.close()

    async def _drop(self) -> None:
        await self._client.drop_database(self._db.name)

    def advance(self, seconds: int) -> None:
        for field in ("lease.expires_at", "dispatched_at"):
            older = [{"$set": {field: {"$toDate": {"$subtract": [milliseconds(f"${field}"), seconds * 1000]}}}}]
            self._do(self._change({field: {"$ne": None}}, older))

    async def _change(self, which: dict[str, Any], pipeline: list[dict[str, Any]]) -> None:
        await self._db["tasks"].update_many(which, pipeline)

    def submit(self) -> str:
        return self._do(self._tasks.insert(new_task(), dispatched=False, new_session=True)).task.id

    def release_waiting(self) -> list[str]:
        self._do(self._dispatch.sort_into_lanes())
        found = [self._do(self._dispatch.find_waiting(lane, [TENANT], MANY)) for lane in WAITING_LANES]
        waiting = [task for by_tenant in found for task in by_tenant[TENANT]]
        return [task.task_id for task in self._do(self._dispatch.release(waiting))]

    def redispatch_lost(self, held: set[str]) -> list[str]:
        sent = self._do(self._dispatch.find_dispatched_before(LOST_AFTER_SECONDS, MANY))
        lost = [task for task in sent if task.task_id not in held]
        return [task.task_id for task in self._do(self._dispatch.redispatch(lost))]

    def claim(self, task_id: str) -> Grant | None:
        claim_id = ClaimId(uuid.uuid4().hex)
        task = self._do(self._claims.claim(TaskId(task_id), claim_id=claim_id))
        return None if task is None else Grant(task_id, claim_id, task.epoch, frozenset(task.steps))

    def _claim_of(self, grant: Grant) -> Claim:
        return Claim(task_id=TaskId(grant.task_id), claim_id=ClaimId(grant.claim_id), epoch=grant.epoch)

    def record(self, grant: Grant, step_name: str) -> bool:
        return self._do(self._claims.record(self._claim_of(grant), RunUpdate(steps=[step(key=step_name)])))

    def complete(self, grant: Grant) -> bool:
        result = TaskResult(summary="s", raw_output="r")
        return self._do(self._claims.complete(self._claim_of(grant), RunUpdate(), result))

    def heartbeat(self, grant: Grant) -> bool:
        return not self._do(self._claims.heartbeat([self._claim_of(grant)])).lost

    def reap(self) -> None:
        self._do(self._upkeep.reap(excuse_crashes=False))
        self._do(self._upkeep.sweep())

    def cancel(self, task_id: str) -> None:
        self._do(self._tasks.request_cancel(TENANT, TaskId(task_id)))

    def seen(self, task_id: str) -> Seen:
        task = self._do(self._tasks.get(TENANT, TaskId(task_id)))
        return Seen(task.status.value, task.epoch)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_the_protocol_holds_on_the_real_store(mongo_uri: str, runner: asyncio.Runner) -> None:
    made: list[StoredTasks] = []

    def build() -> StoredTasks:
        made.append(StoredTasks(mongo_uri, runner))
        return made[-1]

    try:
        run_state_machine_as_test(
            type("StoredMachine", (ProtocolMachine,), {"build": staticmethod(build)}), settings=A_FEW
        )
    finally:
        for store in made:
            store.drop()
