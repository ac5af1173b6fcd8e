"""The answer to a submission that waits: never an error that hides the id of a task that was accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from app.api.auth import Caller
from app.api.dependencies import current_caller
from app.api.execute import router
from app.api.middleware import FaultBarrier, RequestContext
from app.domain.identity import Role
from app.domain.task import Task, TaskStatus
from app.errors import StoreError, TaskNotFound, TaskUnreadable
from app.services.acceptance import Origin
from app.services.tasks import Submission
from app.settings import load_settings
from app.telemetry.metrics import ApiMetrics
from app.telemetry.tracing import Tracing
from tests.support.tasks import TENANT, new_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class UnreadableTasks:
    """A service that accepts one task, which cannot be read afterwards."""

    def __init__(self) -> None:
        times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
        self.task = Task(**new_task().model_dump(), status=TaskStatus.QUEUED, rev=1, dispatch_seq=1, **times)
        self.failure = Exception()

    async def submit(self, request: object, origin: Origin) -> Submission:
        return Submission(self.task)

    async def wait(self, task: Task, *, seconds: float) -> Task:
        raise self.failure


@pytest.fixture
def tasks() -> UnreadableTasks:
    return UnreadableTasks()


@pytest.fixture
async def api(tasks: UnreadableTasks) -> AsyncIterator[httpx.AsyncClient]:
    caller = Caller(tenant=TENANT, role=Role.CLIENT, key_id=None, address="192.0.2.1", chose_tenant=False)
    app = FastAPI()
    app.include_router(router)
    app.dependency_overrides[current_caller] = lambda: caller
    settings = load_settings()
    tracing = Tracing(settings.process, process="api", version="test")
    app.state.api = SimpleNamespace(settings=settings, tasks=tasks, tracing=tracing)
    layers = RequestContext(FaultBarrier(app), metrics=ApiMetrics(version="test").http)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(layers), base_url="http://api") as client:
        yield client


@pytest.mark.parametrize(
    "failure", [StoreError("refused"), TaskNotFound("removed by its ttl"), TaskUnreadable("of another version")]
)
async def test_a_task_that_cannot_be_read_while_it_is_waited_for_is_accepted(
    api: httpx.AsyncClient, tasks: UnreadableTasks, failure: Exception
) -> None:
    tasks.failure = failure

    answer = await api.post("/v1/agent/execute", params={"wait": 5}, json={"task": "Write about tides"})

    assert (answer.status_code, answer.json().get("task_id")) == (202, tasks.task.id)
    assert answer.headers["preference-applied"] == "wait=5"
