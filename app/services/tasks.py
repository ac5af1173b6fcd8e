"""The tasks as callers use them: submit, wait, read, list, cancel.

A task is accepted when its document is stored; everything after that may fail, and the leader makes up for it. With an
idempotency key a record of the key is stored first, so that a repeat finds the task or completes it under the same id.
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
from app.domain.task import NewTask, Task
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
from app.services.completion import CompletionWatch
from app.services.intake_switch import IntakeSwitch
from app.services.policies import TenantPolicies
from app.services.roster import AgentRoster
from app.services.submission import Dispatch, Origin, Submission
from app.settings import ExecutionSettings
from app.telemetry.logs import get_logger

QUEUE_FULL_RETRY_SECONDS = 5
PUBLISH_SECONDS = 0.25

_log = get_logger(__name__)


@dataclass(frozen=True)
class TaskPorts:
    """The stores and the queue that this service uses."""

    tasks: TaskRepository
    sessions: SessionRepository
    idempotency: IdempotencyRepository
    queue: TaskQueue


class TaskService:
    """The tasks of all tenants. `count_accepted` is called once for each accepted task."""

    def __init__(
        self,
        ports: TaskPorts,
        *,
        roster: AgentRoster,
        intake_switch: IntakeSwitch,
        dispatch: Dispatch,
        policies: TenantPolicies,
        completion: CompletionWatch,
        limits: ExecutionSettings,
        count_accepted: Callable[[], None],
    ) -> None:
        self._ports = ports
        self._roster = roster
        self._intake_switch = intake_switch
        self._dispatch = dispatch
        self._policies = policies
        self._completion = completion
        self._limits = limits
        self._count_accepted = count_accepted

    async def submit(self, submission: Submission, origin: Origin) -> Task:
        """Accepts a task, or returns the one that was submitted before under the same idempotency key.

        Raises IntakePaused, TenantQueueFull, InvalidRequest, UnknownAgent, SessionNotFound, SessionErased,
        IdempotencyConflict, TaskErased, StoreUnavailable.
        """
        if origin.idempotency_key is None:
            await self._check(submission, origin)
            return await self._insert(TaskId(str(uuid.uuid4())), submission, origin)
        return await self._submit_once(submission, origin, origin.idempotency_key)

    async def _submit_once(self, submission: Submission, origin: Origin, key: str) -> Task:
        body_hash = submission.body_hash()
        record = await self._reserve(submission, origin, key=key, body_hash=body_hash)
        if record.body_hash != body_hash:
            raise IdempotencyConflict(
                f"The Idempotency-Key was used with another body, for task {record.task_id}; use a new key.",
                task_id=record.task_id,
            )
        if record.accepted:
            return await self._first_task(origin.tenant, record.task_id)
        task = await self._insert(record.task_id, submission, origin)
        await self._ports.idempotency.mark_accepted(origin.tenant, key)
        return task

    async def _reserve(self, submission: Submission, origin: Origin, *, key: str, body_hash: str) -> IdempotencyRecord:
        """Reserves the key. A refused submission reserves nothing, so that it can be corrected under the same key."""
        try:
            await self._check(submission, origin)
        except (RequestError, IntakePaused):
            # A repeat of an accepted task gets it, whatever has changed since: the intake, a limit, an agent.
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

    async def _check(self, submission: Submission, origin: Origin) -> None:
        await self._intake_switch.require_open()
        await self._require_room(origin.tenant)
        deadline = submission.deadline_seconds
        if deadline is not None and deadline > self._limits.deadline_seconds:
            limit = self._limits.deadline_seconds
            raise InvalidRequest(
                "The deadline is too long.", fields=[("deadline_seconds", f"must be at most {limit} seconds here")]
            )
        if submission.agent is not None:
            await self._roster.require(submission.agent)
        if submission.session_id is not None:
            await self._ports.sessions.open(origin.tenant, submission.session_id)

    async def _require_room(self, tenant: Tenant) -> None:
        """Raises TenantQueueFull. Tasks that arrive at the same moment may exceed the limit together."""
        await self._policies.refresh()
        limit = self._policies.of(tenant).max_queued
        if limit is not None and await self._ports.tasks.count_queued(tenant, up_to=limit) >= limit:
            raise TenantQueueFull(
                f"The tenant {tenant} has {limit} tasks queued, its limit; try again when some of them have begun.",
                retry_after_seconds=QUEUE_FULL_RETRY_SECONDS,
            )

    async def _insert(self, task_id: TaskId, submission: Submission, origin: Origin) -> Task:
        new_task = self._build(task_id, submission, origin)
        limited = self._policies.of(origin.tenant).max_running is not None
        dispatched = await self._dispatch.should_dispatch_inline(delayed=new_task.run_at is not None, limited=limited)
        task = await self._ports.tasks.insert(
            new_task, dispatched=dispatched, new_session=submission.session_id is None
        )
        if submission.session_id is not None:
            await self._refuse_if_erased_meanwhile(origin.tenant, submission.session_id)
        self._count_accepted()
        self._dispatch.after_insert(task, dispatched)
        return task

    async def _refuse_if_erased_meanwhile(self, tenant: Tenant, session_id: SessionId) -> None:
        """Erases the new task and raises SessionErased if its session was erased during the submission.

        The erasure may have read the session's tasks before this one was inserted. Ignores an outage of the database:
        the task is stored, and therefore accepted.
        """
        try:
            await self._ports.sessions.open(tenant, session_id)
        except SessionErased:
            await self._ports.tasks.erase_session(tenant, session_id)
            raise
        except (DependencyError, StoreError) as error:
            _log.warning("erasure_not_checked", session_id=session_id, error_code=error.code)

    def _build(self, task_id: TaskId, submission: Submission, origin: Origin) -> NewTask:
        limits = self._limits
        return NewTask(
            id=task_id,
            tenant=origin.tenant,
            task=submission.task,
            session_id=submission.session_id or SessionId(str(uuid.uuid4())),
            request_id=origin.request_id,
            source=origin.source,
            agent=submission.agent,
            priority=submission.priority,
            run_at=submission.run_at,
            deadline_seconds=submission.deadline_seconds or limits.deadline_seconds,
            ttl_seconds=submission.ttl_seconds,
            max_attempts=submission.max_attempts or limits.max_attempts,
            budget=submission.budget,
            metadata=submission.metadata,
            traceparent=origin.traceparent,
            idempotency_key=origin.idempotency_key,
        )

    async def wait(self, task: Task, *, seconds: float) -> Task:
        """Returns the task once it has ended, or in its last known state after `seconds`. Raises TaskErased."""
        return await self._completion.wait(task, seconds=seconds)

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Reads a task. Raises TaskNotFound, TaskErased, StoreUnavailable."""
        return await self._ports.tasks.get(tenant, task_id)

    async def list_page(self, tenant: Tenant, task_filter: TaskFilter, *, cursor: str | None, limit: int) -> TaskPage:
        """Lists tasks, newest first. Raises InvalidRequest for a foreign cursor or a reversed range of dates."""
        created_from, created_to = task_filter.created_from, task_filter.created_to
        if created_from is not None and created_to is not None and created_from >= created_to:
            raise InvalidRequest(
                "The range of dates is reversed.", fields=[("created_to", "must be later than created_from")]
            )
        return await self._ports.tasks.find_page(tenant, task_filter, cursor=cursor, limit=limit)

    async def cancel(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Cancels a queued task, asks a running one to stop, leaves a finished one. Raises TaskNotFound, TaskErased."""
        # The flag in the document is what counts. The message only makes the owner read it sooner.
        task = await self._ports.tasks.request_cancel(tenant, task_id)
        if not task.status.terminal:
            await publish_cancel(self._ports.queue, task.id)
        return task

    async def runs(self, tenant: Tenant, task_id: TaskId) -> Sequence[AgentRun]:
        """Reads the finished steps, oldest first. Raises TaskNotFound, TaskErased."""
        return agent_runs(await self.get(tenant, task_id))

    async def messages(self, tenant: Tenant, task_id: TaskId) -> Sequence[Message]:
        """Reads the messages of the task, oldest first. Raises TaskNotFound, TaskErased."""
        return (await self.get(tenant, task_id)).messages


async def publish_cancel(queue: TaskQueue, task_id: TaskId) -> None:
    """Publishes the cancellation to the owner; without Redis the owner's next heartbeat finds the flag."""
    try:
        async with asyncio.timeout(PUBLISH_SECONDS):
            await queue.announce_cancel(task_id)
    except (BrokerUnavailable, TimeoutError):
        _log.warning("cancel_not_published", task_id=task_id)
