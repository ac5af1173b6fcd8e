"""Tasks as the leader sees them: release, repair, projection, and the lock that makes a process the leader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.domain.fairness import InFlight
from app.domain.identity import TaskId, Tenant


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
class UpkeepCounts:
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

    async def reap(self, *, excuse_crashes: bool) -> UpkeepCounts:
        """Ends or requeues the runs whose lease has expired."""

    async def sweep(self) -> UpkeepCounts:
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
