"""What the services need of the world, as Protocols: stores, the queue, the clock.

`app.storage` and `app.broker` implement them; the composition roots choose. Every repository call that touches a
tenant's data takes the tenant and filters on it. Methods raise `StoreUnavailable` or `BrokerUnavailable` when their
server does not answer, and what their docstrings name; nothing else.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.domain.agent import AgentCard
from app.domain.change import TaskChange
from app.domain.fairness import InFlight
from app.domain.identity import ClaimId, Role, SessionId, TaskId, Tenant
from app.domain.message import Message, Session
from app.domain.scaling import ScalingDecision
from app.domain.task import (
    NewTask,
    Requeue,
    Routing,
    Spending,
    Step,
    Task,
    TaskError,
    TaskResult,
    TaskStatus,
    TaskSummary,
)
from app.domain.usage import Usage


class Clock(Protocol):
    """Time, injected so that tests can move it."""

    def now(self) -> datetime:
        """Aware UTC wall time: for display and logs, never to decide who owns a task."""

    def monotonic(self) -> float:
        """Seconds that only grow: for leases and timeouts within this process."""


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks a list shows; None is no restriction. `text` is a case-insensitive part of the task's text."""

    status: TaskStatus | None = None
    agent_type: str | None = None
    session_id: SessionId | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    text: str | None = None


@dataclass(frozen=True)
class TaskPage:
    """Newest first. `next_cursor` is opaque; None on the last page."""

    items: Sequence[TaskSummary]
    next_cursor: str | None


class TaskRepository(Protocol):
    """Tasks as their owners see them."""

    async def insert(self, task: NewTask, *, dispatched: bool, new_session: bool) -> Task:
        """Stores the task as queued, its first message and event with it; the same id twice returns the stored task.

        `dispatched`: a ticket is about to be sent. `new_session`: there is no earlier turn to read.
        """

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Raises TaskNotFound (also for another tenant's id) or TaskErased."""

    async def find_page(self, tenant: Tenant, task_filter: TaskFilter, *, cursor: str | None, limit: int) -> TaskPage:
        """Stable under inserts. Raises InvalidRequest for a cursor that this API did not make."""

    async def count_queued(self, tenant: Tenant, *, up_to: int) -> int:
        """How many tasks of the tenant are queued; counts no further than `up_to`."""

    async def request_cancel(self, tenant: Tenant, task_id: TaskId) -> Task:
        """A queued task is cancelled at once, a running one flagged, a finished one left as it is."""

    async def erase_session(self, tenant: Tenant, session_id: SessionId) -> Sequence[TaskId]:
        """Removes the texts of the session's tasks for good and leaves tombstones; running ones are cancelled."""


@dataclass(frozen=True)
class ChangePosition:
    """A place in the order of changes: after the task `task_id` that changed at that time (server time)."""

    changed_at: datetime
    task_id: str = ""


@dataclass(frozen=True)
class ChangePage:
    """In the order of changes. `end` is where the page ends; a `full` one may be followed by more."""

    items: Sequence[TaskChange]
    end: ChangePosition
    full: bool


class ChangeRepository(Protocol):
    """The tasks of all tenants as they change. Of a task only its latest change is there."""

    async def now(self) -> datetime:
        """The server's time: no change that can be seen by now is of a later one."""

    async def after(self, position: ChangePosition, *, limit: int) -> ChangePage: ...

    async def find(self, task_ids: Sequence[TaskId]) -> Sequence[TaskChange]:
        """Those of the tasks that are there, erased ones too, in no order."""

    async def unfinished(self, *, cluster: str, after: str, limit: int) -> tuple[Sequence[TaskChange], str | None]:
        """The cluster's tasks that have not ended, by id, beyond the id `after`; where to go on if there are more."""


@dataclass(frozen=True)
class Claim:
    """One claim of one task. `epoch` fences every write made under it."""

    task_id: TaskId
    claim_id: ClaimId
    epoch: int


@dataclass(frozen=True)
class RunUpdate:
    """What a fenced write adds to the task: steps of the journal, and what became known with them.

    `write_id` makes a repeat of the same write, after a lost reply, count once.
    """

    steps: Sequence[Step] = ()
    usage: Usage | None = None
    routing: Routing | None = None
    agent_type: str | None = None
    history: Sequence[Message] | None = None
    spending: Spending | None = None
    write_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Heartbeat:
    """Answer to a renewal: claims that are gone, and claims whose task should be cancelled."""

    lost: frozenset[ClaimId]
    cancelled: frozenset[ClaimId]


class ClaimRepository(Protocol):
    """Tasks as the worker that runs them sees them. A fenced write returns False when the claim is lost."""

    async def claim(self, task_id: TaskId, *, owner: str, claim_id: ClaimId) -> Task | None:
        """Takes a queued, dispatched, due, uncancelled task; None when there is nothing to take."""

    async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        """Puts the task back where this claim, whose answer never came, was granted after all; it counts no crash."""

    async def return_ticket(self, task_id: TaskId) -> None:
        """Lets a task whose ticket is not used wait for another one, if nobody has claimed it."""

    async def history(self, tenant: Tenant, session_id: SessionId, *, before: Task) -> Sequence[Message]:
        """The messages of the session's completed earlier tasks, oldest first."""

    async def record(self, claim: Claim, update: RunUpdate) -> bool: ...

    async def complete(self, claim: Claim, update: RunUpdate, result: TaskResult) -> bool: ...

    async def fail(self, claim: Claim, update: RunUpdate, error: TaskError, partial: TaskResult | None) -> bool: ...

    async def cancel(self, claim: Claim, update: RunUpdate) -> bool: ...

    async def requeue(
        self, claim: Claim, update: RunUpdate, *, reason: Requeue, delay_seconds: float, error: TaskError | None
    ) -> bool: ...

    async def heartbeat(self, claims: Sequence[Claim]) -> Heartbeat:
        """Renews the leases of all claims in one write."""


@dataclass(frozen=True)
class WaitingTask:
    """A task that could be dispatched now."""

    task_id: TaskId
    tenant: Tenant
    rev: int
    dispatch_seq: int
    priority: int
    queued_at: datetime
    traceparent: str | None
    request_id: str
    crashes: int = 0


@dataclass(frozen=True)
class Reaped:
    """What one round of the reaper, or one sweep, did, by reason. `more`: it left some for the next round."""

    requeued: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    cancelled: int = 0
    more: bool = False


@dataclass(frozen=True)
class QueueCounts:
    """Counts over all tenants; ages in seconds."""

    waiting: int
    dispatched: int
    processing: int
    oldest_age_seconds: float


class DispatchRepository(Protocol):
    """Tasks as the leader sees them. Every act is a compare-and-set, so that two leaders are harmless."""

    async def waiting_tenants(self) -> Sequence[Tenant]:
        """Tenants with tasks that wait to be dispatched."""

    async def find_waiting(self, tenant: Tenant, limit: int) -> Sequence[WaitingTask]:
        """The tenant's waiting and due tasks, by priority and age; without the quarantined ones."""

    async def find_quarantined(self, limit: int) -> Sequence[WaitingTask]:
        """Waiting and due tasks that crashed their workers so often that they run alone, oldest first."""

    async def in_flight(self) -> InFlight:
        """What is with workers, or dispatched and on its way to one."""

    async def release(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        """Marks the tasks as dispatched under their next `dispatch_seq`; gives back those that were still waiting."""

    async def find_dispatched_before(self, seconds: float, limit: int) -> Sequence[WaitingTask]:
        """Queued and due tasks whose ticket was sent more than `seconds` ago."""

    async def redispatch(self, task: WaitingTask) -> bool:
        """Marks a lost ticket's task as dispatched anew; False when it has moved on since."""

    async def reap(self, *, excuse_crashes: bool) -> Reaped:
        """Ends or requeues the runs whose lease has expired."""

    async def sweep(self) -> Reaped:
        """Ends what waits and need not any more: cancelled tasks, too old ones; removes what has outlived its time."""

    async def counts(self) -> QueueCounts: ...


class LeaderLock(Protocol):
    async def acquire(self, owner: str, *, seconds: float) -> bool:
        """Takes or renews the lock; False while somebody else holds it."""

    async def release(self, owner: str) -> None: ...


class ProjectionRepository(Protocol):
    """Rebuilds `agent_runs`, `messages`, `logs`, `sessions` from task documents; doing it twice changes nothing."""

    async def project(self, task_ids: Sequence[TaskId]) -> None: ...

    async def find_stale(self, limit: int) -> Sequence[TaskId]: ...


@dataclass(frozen=True)
class IdempotencyRecord:
    task_id: TaskId
    body_hash: str
    accepted: bool


class IdempotencyRepository(Protocol):
    async def reserve(self, tenant: Tenant, key: str, *, body_hash: str, task_id: TaskId) -> IdempotencyRecord:
        """The record of this key: the caller's own, or the one that was there first. Records outlive their task."""

    async def find(self, tenant: Tenant, key: str) -> IdempotencyRecord | None: ...

    async def mark_accepted(self, tenant: Tenant, key: str) -> None: ...


class SessionRepository(Protocol):
    async def open(self, tenant: Tenant, session_id: SessionId) -> None:
        """Creates the session where it is new.

        Raises SessionNotFound when it belongs to another tenant, SessionErased when its owner had it erased.
        """

    async def get(self, tenant: Tenant, session_id: SessionId) -> Session:
        """Raises SessionNotFound, SessionErased."""

    async def messages(self, tenant: Tenant, session_id: SessionId, *, limit: int) -> Sequence[Message]:
        """The last `limit` turns of the conversation, oldest first."""

    async def erase(self, tenant: Tenant, session_id: SessionId) -> None:
        """Leaves a tombstone; twice changes nothing."""


@dataclass(frozen=True)
class KeyLimits:
    """What a key says of its tenant, in place of the installation's defaults; None says nothing."""

    weight: float | None = None
    max_running: int | None = None
    max_queued: int | None = None


NO_LIMITS = KeyLimits()


@dataclass(frozen=True)
class ApiKey:
    """A key as stored; the secret itself is never kept, only its SHA-256."""

    id: str
    name: str
    tenant: Tenant
    role: Role
    created_at: datetime
    revoked_at: datetime | None = None
    limits: KeyLimits = NO_LIMITS


class ApiKeyRepository(Protocol):
    async def find_by_hash(self, sha256: str) -> ApiKey | None: ...

    async def create(
        self, *, name: str, tenant: Tenant, role: Role, sha256: str, limits: KeyLimits = NO_LIMITS
    ) -> ApiKey:
        """The same hash twice returns the stored key."""

    async def list_all(self) -> Sequence[ApiKey]: ...

    async def revoke(self, key_id: str) -> bool: ...


class AgentDirectory(Protocol):
    """Agents that workers have published; an entry never expires by itself."""

    async def publish(self, cards: Sequence[AgentCard]) -> None: ...

    async def list_all(self) -> Sequence[AgentCard]: ...


@dataclass(frozen=True)
class Intake:
    accepting: bool = True
    reason: str = ""


@dataclass(frozen=True)
class TaskStatistics:
    """Today's figures (UTC day) of one tenant; latencies in seconds from acceptance to the end, None without a task."""

    today_by_status: Mapping[TaskStatus, int]
    by_agent: Mapping[str, int]
    latency_p50_seconds: float | None
    latency_p95_seconds: float | None


class SystemRepository(Protocol):
    async def intake(self) -> Intake: ...

    async def set_intake(self, intake: Intake) -> None: ...

    async def statistics(self, tenant: Tenant | None) -> TaskStatistics: ...

    async def roll_up(self) -> None:
        """Writes the hourly figures of the last full hours into `system_metrics`; twice changes nothing."""

    async def ping(self) -> None:
        """Raises StoreUnavailable."""


@dataclass(frozen=True)
class RecentFigures:
    """What a worker saw lately: the service times of its last tasks, its model calls and those refused by 429."""

    service_seconds: tuple[float, ...] = ()
    model_calls: int = 0
    rate_limited_calls: int = 0


@dataclass(frozen=True)
class WorkerPresence:
    """What a worker says of itself every two seconds. Ids are of tasks; reserved ones are fetched but not begun.

    `paused` workers fetch no tickets: they are drained, or cannot reach the database. `lapsed` are runs that still take
    a slot although their lease has run out: where their tasks are now, they cannot tell.
    """

    worker_id: str
    name: str
    slots: int
    running: tuple[str, ...]
    reserved: tuple[str, ...]
    draining: bool
    loop_lag_ms: float
    version: str
    at: datetime
    breakers: Mapping[str, str] = field(default_factory=dict)
    recent: RecentFigures = RecentFigures()
    condition: str = "ok"
    memory_mb: float = 0.0
    paused: bool = False
    lapsed: tuple[str, ...] = ()


class ScalingLog(Protocol):
    """The last 200 decisions of the autoscaler. All methods raise StoreUnavailable."""

    async def add(self, decision: ScalingDecision) -> None: ...

    async def latest(self) -> Sequence[ScalingDecision]:
        """The newest first."""


class DrainLeases(Protocol):
    """Which workers take nothing for a while. All methods raise BrokerUnavailable."""

    async def begin(self, worker_id: str, *, seconds: int) -> None:
        """From now on for so long, whatever was asked before."""

    async def end(self, worker_id: str) -> None: ...

    async def holds(self, worker_id: str) -> bool: ...


@dataclass(frozen=True)
class Ticket:
    """What goes through Redis: an id and trace headers, never text."""

    task_id: TaskId
    dispatch_seq: int
    request_id: str
    traceparent: str | None = None


class TaskQueue(Protocol):
    """The broker. An error is never an empty answer."""

    async def publish(self, tickets: Sequence[Ticket]) -> None: ...

    async def length(self) -> int: ...

    async def listed(self) -> frozenset[str]:
        """Ids of the tasks whose tickets stand in the list."""

    async def presences(self) -> Sequence[WorkerPresence]: ...

    async def announce_cancel(self, task_id: TaskId) -> None: ...

    async def kick(self, tenant: Tenant) -> None:
        """Wakes the leader: a task of this tenant waits."""

    def kicks(self) -> AsyncIterator[str]:
        """Yields the tenant of every kick; ends never, survives reconnects."""

    def finished(self) -> AsyncIterator[str]:
        """Yields the id of every task that ends, as far as Redis is there; ends never."""

    async def add_arrivals(self, number: int) -> None:
        """So many more tasks were accepted."""

    async def arrivals(self) -> int:
        """How many were accepted, by all API processes, since the broker began to count."""

    async def publish_snapshot(self, snapshot: Mapping[str, str | int | float]) -> None: ...

    async def snapshot(self) -> Mapping[str, str]: ...

    async def ping(self) -> None:
        """Raises BrokerUnavailable."""


@dataclass(frozen=True)
class RateDecision:
    allowed: bool
    limit: int
    remaining: int
    retry_after_seconds: int


class RateLimiter(Protocol):
    async def hit(self, bucket: str, *, limit_per_minute: int) -> RateDecision:
        """Counts one request. Falls back to this process's memory while Redis is away; never raises."""
