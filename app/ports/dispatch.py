"""The store of tasks for the leader: release, upkeep, counts, projection, and the lock that makes a process lead.

Every write is a compare-and-set of what was read before, so that two leaders at once do no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.domain.fairness import InFlight, Lane
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
    due_at: datetime
    traceparent: str | None
    request_id: str
    crashes: int = 0
    shared_crashes: int = 0


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
    """Counts over all tenants; ages in seconds.

    `by_tenant` counts the tasks that wait in the lane `ready`, and `oldest_by_tenant` has the age of the oldest of
    them; `quarantined` counts those in the lane of that name. `exact` is False if counting ended at a limit: then at
    least so many wait, and the oldest is at least that old.
    """

    by_tenant: Mapping[Tenant, int] = field(default_factory=dict)
    oldest_by_tenant: Mapping[Tenant, float] = field(default_factory=dict)
    quarantined: int = 0
    in_flight: InFlight = field(default_factory=InFlight)
    oldest_age_seconds: float = 0.0
    exact: bool = True

    @property
    def waiting(self) -> int:
        return sum(self.by_tenant.values()) + self.quarantined

    @property
    def dispatched(self) -> int:
        return self.in_flight.total - self.in_flight.processing


class DispatchRepository(Protocol):
    """The tasks that wait for a worker, as the dispatcher releases them."""

    async def sort_into_lanes(self) -> None:
        """Moves delayed tasks that are due, and tasks that another version wrote, into the lanes they wait in."""

    async def waiting_tenants(self, lane: Lane) -> Sequence[Tenant]:
        """Finds the tenants with tasks in the lane."""

    async def find_waiting(
        self, lane: Lane, tenants: Sequence[Tenant], limit: int
    ) -> Mapping[Tenant, Sequence[WaitingTask]]:
        """Finds up to `limit` due tasks of each tenant, by priority and age; suspects by shared crashes and age."""

    async def in_flight(self) -> InFlight:
        """Counts the tasks that workers hold, and those that are dispatched and on their way to one."""

    async def release(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        """Marks the tasks as dispatched under their next `dispatch_seq`. Returns those that were still waiting."""

    async def take_back(self, task_ids: Sequence[TaskId]) -> None:
        """Marks released tasks as waiting again, because their tickets could not be sent. Leaves claimed ones."""

    async def find_dispatched_before(self, seconds: float, limit: int) -> Sequence[WaitingTask]:
        """Finds queued and due tasks whose ticket was sent more than `seconds` ago."""

    async def redispatch(self, tasks: Sequence[WaitingTask]) -> Sequence[WaitingTask]:
        """Marks the tasks of lost tickets as dispatched anew, and returns them in their order.

        Leaves out those that have moved on since they were read, and those that cannot be written.
        """


class TaskUpkeep(Protocol):
    """The tasks that no worker can bring forward: their run has lost its lease, or they need no run any more."""

    async def reap(self, *, excuse_crashes: bool) -> UpkeepCounts:
        """Ends or requeues the runs whose lease has expired. With `excuse_crashes` these do not count as crashes.

        If several suspects ran in the process that crashed, nothing shows which one is to blame: the crash is shared.
        """

    async def sweep(self) -> UpkeepCounts:
        """Ends queued tasks that are cancelled or too old."""

    async def sort_all_lanes(self) -> None:
        """Moves queued tasks that a leader of another version left in the wrong lane into the one that fits."""


class QueueCounter(Protocol):
    """The size of the queue, as the snapshot and the system metrics read it."""

    async def counts(self) -> QueueCounts:
        """Counts in a bounded time: up to a limit of tasks that wait, beyond which the counts are not exact."""

    async def count_all(self) -> QueueCounts:
        """Counts all tasks, however many wait. That may take a minute and more."""


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
