"""The calls on tasks: submit, wait, read, list, cancel.

A task is accepted when its document is stored. Everything after that may fail, and the leader repairs it. With an
idempotency key a record of the key is stored first, so that a repeat finds the task or completes it under the same id.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.identity import SessionId, TaskId, Tenant
from app.domain.message import Message
from app.domain.run import AgentRun
from app.domain.run_history import agent_runs
from app.domain.task import AGENT_TASK, FURTHEST_RUN_AT, LATEST_PAST_RUN_AT, NewTask, Task, TaskRequest
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
    Clock,
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
from app.services.intake_switch import IntakeSwitch
from app.services.policies import TenantPolicies
from app.services.roster import AgentRoster
from app.settings import ExecutionSettings, RetentionSettings
from app.telemetry.logs import get_logger

QUEUE_FULL_RETRY_SECONDS = 5
# A cancel is answered this late at most while Redis is unavailable. The flag in the database counts, not the message.
PUBLISH_CANCEL_SECONDS = 0.25

_log = get_logger(__name__)


@dataclass(frozen=True)
class TaskPorts:
    """The stores and the queue of this service."""

    tasks: TaskRepository
    sessions: SessionRepository
    idempotency: IdempotencyRepository
    queue: TaskQueue


@dataclass(frozen=True)
class Submission:
    """The task of an accepted request. `replayed`: an earlier request with the same Idempotency-Key stored it."""

    task: Task
    replayed: bool = False


class TaskService:
    """The service behind the routes of tasks. Calls `count_accepted` once for each accepted task."""

    def __init__(
        self,
        ports: TaskPorts,
        *,
        roster: AgentRoster,
        intake_switch: IntakeSwitch,
        tickets: TicketSender,
        policies: TenantPolicies,
        completion: CompletionWatch,
        limits: ExecutionSettings,
        retention: RetentionSettings,
        clock: Clock,
        count_accepted: Callable[[], None],
    ) -> None:
        self._ports = ports
        self._roster = roster
        self._intake_switch = intake_switch
        self._tickets = tickets
        self._policies = policies
        self._completion = completion
        self._limits = limits
        self._retention = retention
        self._clock = clock
        self._count_accepted = count_accepted

    async def submit(self, request: TaskRequest, origin: Origin) -> Submission:
        """Accepts a task, or returns the one that the same idempotency key made before.

        Raises IntakePaused, TenantQueueFull, InvalidRequest, UnknownAgent, SessionNotFound, SessionErased,
        IdempotencyConflict, TaskErased, StoreUnavailable.
        """
        if origin.idempotency_key is None:
            await self._check(request, origin)
            return await self._insert(TaskId(str(uuid.uuid4())), request, origin)
        return await self._submit_once(request, origin, origin.idempotency_key)

    async def _submit_once(self, request: TaskRequest, origin: Origin, key: str) -> Submission:
        body_hash = hash_request(request)
        record = await self._reserve(request, origin, key=key, body_hash=body_hash)
        if record.body_hash != body_hash:
            raise IdempotencyConflict(
                f"The Idempotency-Key was used with another body, for task {record.task_id}; use a new key.",
                task_id=record.task_id,
            )
        if record.accepted:
            return Submission(await self._first_task(origin.tenant, record.task_id), replayed=True)
        # The task may be stored already: by a request at the same moment, or by one that could not mark the record.
        submission = await self._insert(record.task_id, request, origin)
        await self._ports.idempotency.mark_accepted(origin.tenant, key)
        return submission

    async def _reserve(self, request: TaskRequest, origin: Origin, *, key: str, body_hash: str) -> IdempotencyRecord:
        """Returns the key's record. A refused request reserves nothing: it can be corrected under the same key."""
        try:
            await self._check(request, origin)
        except (RequestError, IntakePaused):
            # A repeat of an accepted request gets its task, even if the same request would be refused today.
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
        await self._intake_switch.require_open()
        await self._require_room(origin.tenant)
        self._check_limits(request, origin)
        if request.run_at is not None:
            _check_run_at(request.run_at, now=self._clock.now())
        if request.agent is not None:
            await self._roster.require(request.agent)
        if request.session_id is not None:
            await self._ports.sessions.open(origin.tenant, request.session_id)

    def _check_limits(self, request: TaskRequest, origin: Origin) -> None:
        """Raises InvalidRequest for times that are longer than this installation allows."""
        asked = [("deadline_seconds", request.deadline_seconds, self._limits.deadline_seconds)]
        # The time of an AgentTask is shortened instead: the operator does not know the limit, and it keeps the object
        # as long as the object says.
        if origin.source.kind != AGENT_TASK:
            asked.append(("ttl_seconds", request.ttl_seconds, self._retention.max_ttl_seconds))
        too_long = [
            (name, f"must be at most {most} seconds here")
            for name, seconds, most in asked
            if seconds is not None and seconds > most
        ]
        if too_long:
            raise InvalidRequest("A time of the task is too long.", fields=too_long)

    async def _require_room(self, tenant: Tenant) -> None:
        """Raises TenantQueueFull. Requests at the same moment may exceed the limit together: the count is no lock."""
        await self._policies.refresh()
        limit = self._policies.of(tenant).max_queued
        if limit is not None and await self._ports.tasks.count_queued(tenant, up_to=limit) >= limit:
            raise TenantQueueFull(
                f"The tenant {tenant} has {limit} queued tasks, its limit. Try again when some of them have started.",
                retry_after_seconds=QUEUE_FULL_RETRY_SECONDS,
            )

    async def _insert(self, task_id: TaskId, request: TaskRequest, origin: Origin) -> Submission:
        new_task = self._build(task_id, request, origin)
        limited = self._policies.of(origin.tenant).max_running is not None
        dispatched = await self._tickets.should_dispatch_inline(delayed=new_task.run_at is not None, limited=limited)
        stored = await self._ports.tasks.insert(new_task, dispatched=dispatched, new_session=request.session_id is None)
        if request.session_id is not None:
            await self._refuse_if_erased_meanwhile(origin.tenant, request.session_id)
        if stored.is_new:
            self._count_accepted()
            self._tickets.after_insert(stored.task, dispatched)
        return Submission(stored.task, replayed=not stored.is_new)

    async def _refuse_if_erased_meanwhile(self, tenant: Tenant, session_id: SessionId) -> None:
        """Erases the new task if its session was erased meanwhile. Raises SessionErased.

        The erasure may have searched for tasks before this one was stored. A database that becomes unavailable now does
        not undo that the task was accepted, so its errors are logged only.
        """
        try:
            await self._ports.sessions.open(tenant, session_id)
        except SessionErased:
            await self._ports.tasks.erase_session(tenant, session_id)
            raise
        except (DependencyError, StoreError) as error:
            _log.warning("erasure_not_checked", session_id=session_id, error_code=error.code)

    def _build(self, task_id: TaskId, request: TaskRequest, origin: Origin) -> NewTask:
        fields = dict(request) | {
            "session_id": request.session_id or SessionId(str(uuid.uuid4())),
            "deadline_seconds": request.deadline_seconds or self._limits.deadline_seconds,
            "ttl_seconds": self._ttl_seconds(request),
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

    def _ttl_seconds(self, request: TaskRequest) -> int | None:
        """Returns the time from the task's end to its removal, which is stored with it; None keeps it for ever."""
        if request.ttl_seconds is None:
            return self._retention.task_seconds or None
        return min(request.ttl_seconds, self._retention.max_ttl_seconds)

    async def wait(self, task: Task, *, seconds: float) -> Task:
        """Returns the task when it has ended, or as it is after `seconds`. Raises as `CompletionWatch.wait` does."""
        return await self._completion.wait(task, seconds=seconds)

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Reads the task. Raises TaskNotFound, TaskErased."""
        return await self._ports.tasks.get(tenant, task_id)

    async def list_page(self, tenant: Tenant, task_filter: TaskFilter, *, cursor: str | None, limit: int) -> TaskPage:
        """Reads a page, newest first. Raises InvalidRequest for a foreign cursor or a reversed range of dates."""
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


def _check_run_at(run_at: datetime, *, now: datetime) -> None:
    """Raises InvalidRequest for a time that has passed, or that is so far away that it must be a mistake."""
    if run_at < now - LATEST_PAST_RUN_AT:
        problem = "must not be in the past; leave it out for a task that may start at once"
    elif run_at > now + FURTHEST_RUN_AT:
        problem = "must be at most ten years from now"
    else:
        return
    raise InvalidRequest("The due time is out of range.", fields=[("run_at", problem)])


async def publish_cancel(queue: TaskQueue, task_id: TaskId) -> None:
    """Publishes the cancel to the worker. If Redis does not answer, the worker's next heartbeat finds the flag."""
    try:
        async with asyncio.timeout(PUBLISH_CANCEL_SECONDS):
            await queue.publish_cancel(task_id)
    except (BrokerUnavailable, TimeoutError):
        _log.warning("cancel_not_published", task_id=task_id)
