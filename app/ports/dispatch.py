"""The store of tasks for the leader: release, upkeep, counts, projection, and the lock that makes a process lead.

Every write is a compare-and-set of what was read before, so that two leaders at once do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.domain.fairness import InFlight
from app.domain.identity import TaskId, Tenant


@dataclass(frozen=True)
class WaitingTask:
    """A task that can be dispatched now, with the fields that choosing it and making its ticket need."""

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
class UpkeepCounts:
    """The numbers of tasks that one round of the reaper, or one sweep, changed, by reason.

    `more`: the round left some for the next one.
    """

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
    """The tasks that wait for a worker, as the dispatcher releases them."""

    async def waiting_tenants(self) -> Sequence[Tenant]:
        """Finds the tenants with tasks that wait to be dispatched."""

    async def find_waiting(self, tenant: Tenant, limit: int) -> Sequence[WaitingTask]:
        """Finds the tenant's waiting and due tasks, by priority and age, without the quarantined ones."""

    async def find_quarantined(self, limit: int) -> Sequence[WaitingTask]:
        """Finds waiting and due tasks that crashed their workers so often that one runs at a time, oldest first."""

    async def in_flight(self) -> InFlight:
        """Counts the tasks that workers hold, and those that are dispatched and on their way to one."""

    async def release(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        """Marks the tasks as dispatched under their next `dispatch_seq`. Returns those that were still waiting."""

    async def take_back(self, task_ids: Sequence[TaskId]) -> None:
        """Marks released tasks as waiting again, because their tickets could not be sent. Leaves claimed ones."""

    async def find_dispatched_before(self, seconds: float, limit: int) -> Sequence[WaitingTask]:
        """Finds queued and due tasks whose ticket was sent more than `seconds` ago."""

    async def redispatch(self, task: WaitingTask) -> bool:
        """Marks the task of a lost ticket as dispatched anew. Returns False if the task has moved on since."""


class TaskUpkeep(Protocol):
    """The tasks that no worker can bring forward: their run has lost its lease, or they need no run any more."""

    async def reap(self, *, excuse_crashes: bool) -> UpkeepCounts:
        """Ends or requeues the runs whose lease has expired. With `excuse_crashes` these do not count as crashes."""

    async def sweep(self) -> UpkeepCounts:
        """Ends queued tasks that are cancelled or too old."""


class QueueCounter(Protocol):
    """The size of the queue, as the snapshot and the system metrics read it."""

    async def counts(self) -> QueueCounts: ...


class LeaderLock(Protocol):
    """The lock that makes one API process the leader."""

    async def acquire(self, owner: str, *, seconds: float) -> bool:
        """Takes or renews the lock. Returns False while another owner holds it."""

    async def release(self, owner: str) -> None: ...


class Projections(Protocol):
    """The copies of task documents in `agent_runs`, `messages`, `logs` and `sessions`."""

    async def project(self, task_ids: Sequence[TaskId]) -> None:
        """Copies the tasks as they are now. A repeat changes nothing."""


class ProjectionRepository(Projections, Protocol):
    """The copies, and the tasks whose copies are missing or old, for the leader."""

    async def find_stale(self, limit: int) -> Sequence[TaskId]:
        """Finds tasks that changed a while ago and were not projected since."""
