"""What callers do with tasks: submit, wait, read, list, cancel.

A task is accepted when its document is stored; everything after that may fail and is made good by the leader. With an
idempotency key a record of the key comes first, so that a repeat finds the task or completes it under the same id.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.identity import SessionId, TaskId, Tenant
from app.domain.journal import agent_runs
from app.domain.message import Message
from app.domain.run import AgentRun
from app.domain.task import NewTask, Task, TaskRequest
from app.errors import (
    BrokerUnavailable,
    DependencyError,
    IdempotencyConflict,
    IntakePaused,
    InvalidRequest,
    RequestError,
    SessionErased,
    StoreError,
    TaskErased,
    TaskNotFound,
    TenantQueueFull,
)
from app.ports import (
    IdempotencyRecord,
    IdempotencyRepository,
    SessionRepository,
    TaskFilter,
    TaskPage,
    TaskQueue,
    TaskRepository,
)
from app.services.acceptance import Origin, TicketSender, hash_request
from app.services.completion import CompletionWatch
from app.services.intake_switch import IntakeGate
from app.services.policies import TenantPolicies
from app.services.roster import AgentRoster
from app.settings import ExecutionSettings
from app.telemetry.logs import get_logger

QUEUE_FULL_RETRY_SECONDS = 5
ANNOUNCE_SECONDS = 0.25

_log = get_logger(__name__)


@dataclass(frozen=True)
class TaskPorts:
    """The stores and the queue that this service works on."""

    tasks: TaskRepository
    sessions: SessionRepository
    idempotency: IdempotencyRepository
    queue: TaskQueue


class TaskService:
    """`count_accepted` is called once for each accepted task."""

    def __init__(
        self,
        ports: TaskPorts,
        *,
        roster: AgentRoster,
        gate: IntakeGate,
        tickets: TicketSender,
        policies: TenantPolicies,
        completion: CompletionWatch,
        limits: ExecutionSettings,
        count_accepted: Callable[[], None],
    ) -> None:
        self._ports = ports
        self._roster = roster
        self._gate = gate
        self._tickets = tickets
        self._policies = policies
        self._completion = completion
        self._limits = limits
        self._count_accepted = count_accepted

    async def submit(self, request: TaskRequest, origin: Origin) -> Task:
        """Accepts a task, or gives the one that the same idempotency key made before.

        Raises IntakePaused, TenantQueueFull, InvalidRequest, UnknownAgent, SessionNotFound, SessionErased,
        IdempotencyConflict, TaskErased, StoreUnavailable.
        """
        if origin.idempotency_key is None:
            await self._check(request, origin)
            return await self._insert(TaskId(str(uuid.uuid4())), request, origin)
        return await self._submit_once(request, origin, origin.idempotency_key)

    async def _submit_once(self, request: TaskRequest, origin: Origin, key: str) -> Task:
        body_hash = hash_request(request)
        record = await self._reserve(request, origin, key=key, body_hash=body_hash)
        if record.body_hash != body_hash:
            raise IdempotencyConflict(
                f"The Idempotency-Key was used with another body, for task {record.task_id}; use a new key.",
                task_id=record.task_id,
            )
        if record.accepted:
            return await self._first_task(origin.tenant, record.task_id)
        task = await self._insert(record.task_id, request, origin)
        await self._ports.idempotency.mark_accepted(origin.tenant, key)
        return task

    async def _reserve(self, request: TaskRequest, origin: Origin, *, key: str, body_hash: str) -> IdempotencyRecord:
        """The key's record. A refused request reserves nothing, so that it can be mended under the same key."""
        try:
            await self._check(request, origin)
        except (RequestError, IntakePaused):
            record = await self._ports.idempotency.find(origin.tenant, key)
            if record is None or not record.accepted:
                raise
            return record
        task_id = TaskId(str(uuid.uuid4()))
        return await self._ports.idempotency.reserve(origin.tenant, key, body_hash=body_hash, task_id=task_id)

    async def _first_task(self, tenant: Tenant, task_id: TaskId) -> Task:
        try:
            return await self._ports.tasks.get(tenant, task_id)
        except TaskNotFound as error:
            raise TaskErased(f"Task {task_id} of this Idempotency-Key no longer exists; use a new key.") from error

    async def _check(self, request: TaskRequest, origin: Origin) -> None:
        await self._gate.require_open()
        await self._require_room(origin.tenant)
        deadline = request.deadline_seconds
        if deadline is not None and deadline > self._limits.deadline_seconds:
            limit = self._limits.deadline_seconds
            raise InvalidRequest(
                "The deadline is too long.", fields=[("deadline_seconds", f"must be at most {limit} seconds here")]
            )
        if request.agent is not None:
            await self._roster.require(request.agent)
        if request.session_id is not None:
            await self._ports.sessions.open(origin.tenant, request.session_id)

    async def _require_room(self, tenant: Tenant) -> None:
        """Raises TenantQueueFull. Tasks that come at the same moment may pass the limit together."""
        await self._policies.refresh()
        limit = self._policies.of(tenant).max_queued
        if limit is not None and await self._ports.tasks.count_queued(tenant, up_to=limit) >= limit:
            raise TenantQueueFull(
                f"This tenant has {limit} tasks queued, as many as it may; try again when some of them have begun.",
                retry_after_seconds=QUEUE_FULL_RETRY_SECONDS,
            )

    async def _insert(self, task_id: TaskId, request: TaskRequest, origin: Origin) -> Task:
        new_task = self._build(task_id, request, origin)
        limited = self._policies.of(origin.tenant).max_running is not None
        dispatched = await self._tickets.should_dispatch_inline(delayed=new_task.run_at is not None, limited=limited)
        task = await self._ports.tasks.insert(new_task, dispatched=dispatched, new_session=request.session_id is None)
        if request.session_id is not None:
            await self._refuse_if_erased_meanwhile(origin.tenant, request.session_id)
        self._count_accepted()
        self._tickets.after_insert(task, dispatched)
        return task

    async def _refuse_if_erased_meanwhile(self, tenant: Tenant, session_id: SessionId) -> None:
        """The erasure may have looked for tasks before this one was there; then it is this one's turn.

        The task is stored by now: a database that goes away in this moment does not undo that it was accepted.
        """
        try:
            await self._ports.sessions.open(tenant, session_id)
        except SessionErased:
            await self._ports.tasks.erase_session(tenant, session_id)
            raise
        except (DependencyError, StoreError) as error:
            _log.warning("erasure_not_checked", session_id=session_id, code=error.code)

    def _build(self, task_id: TaskId, request: TaskRequest, origin: Origin) -> NewTask:
        fields = dict(request) | {
            "session_id": request.session_id or SessionId(str(uuid.uuid4())),
            "deadline_seconds": request.deadline_seconds or self._limits.deadline_seconds,
            "max_attempts": request.max_attempts or self._limits.max_attempts,
        }
        return NewTask(
            **fields,
            id=task_id,
            tenant=origin.tenant,
            request_id=origin.request_id,
            source=origin.source,
            traceparent=origin.traceparent,
            idempotency_key=origin.idempotency_key,
        )

    async def wait(self, task: Task, *, seconds: float) -> Task:
        """The task once it is done, or as it stands after that many seconds."""
        return await self._completion.wait(task, seconds=seconds)

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Raises TaskNotFound, TaskErased."""
        return await self._ports.tasks.get(tenant, task_id)

    async def list_page(self, tenant: Tenant, task_filter: TaskFilter, *, cursor: str | None, limit: int) -> TaskPage:
        """Newest first. Raises InvalidRequest for a foreign cursor or a reversed range of dates."""
        created_from, created_to = task_filter.created_from, task_filter.created_to
        if created_from is not None and created_to is not None and created_from >= created_to:
            raise InvalidRequest(
                "The range of dates is reversed.", fields=[("created_to", "must be later than created_from")]
            )
        return await self._ports.tasks.find_page(tenant, task_filter, cursor=cursor, limit=limit)

    async def cancel(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Cancels a queued task, asks a running one to stop, leaves a finished one. Raises TaskNotFound, TaskErased."""
        task = await self._ports.tasks.request_cancel(tenant, task_id)
        if not task.status.terminal:
            await publish_cancel(self._ports.queue, task.id)
        return task

    async def runs(self, tenant: Tenant, task_id: TaskId) -> Sequence[AgentRun]:
        """Finished steps, oldest first. Raises TaskNotFound, TaskErased."""
        return agent_runs(await self.get(tenant, task_id))

    async def messages(self, tenant: Tenant, task_id: TaskId) -> Sequence[Message]:
        """What was said in this task, oldest first. Raises TaskNotFound, TaskErased."""
        return (await self.get(tenant, task_id)).messages


async def publish_cancel(queue: TaskQueue, task_id: TaskId) -> None:
    """Tells the owner at once; where Redis does not answer, the owner's next heartbeat finds the flag."""
    try:
        async with asyncio.timeout(ANNOUNCE_SECONDS):
            await queue.publish_cancel(task_id)
    except (BrokerUnavailable, TimeoutError):
        _log.warning("cancel_not_published", task_id=task_id)
