"""The broker: tickets, presence, drain leases, rate limits. An error is never an empty answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.identity import TaskId, Tenant
from app.domain.ticket import Ticket
from app.domain.worker import WorkerPresence


class TaskQueue(Protocol):
    """The broker. An error is never an empty answer."""

    async def publish(self, tickets: Sequence[Ticket]) -> None: ...

    async def length(self) -> int: ...

    async def listed(self) -> frozenset[str]:
        """Ids of the tasks whose tickets stand in the list."""

    async def presences(self) -> Sequence[WorkerPresence]: ...

    async def publish_cancel(self, task_id: TaskId) -> None: ...

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


class DrainLeases(Protocol):
    """Which workers take nothing for a while. All methods raise BrokerUnavailable."""

    async def begin(self, worker_id: str, *, seconds: int) -> None:
        """From now on for so long, whatever was asked before."""

    async def end(self, worker_id: str) -> None: ...

    async def holds(self, worker_id: str) -> bool: ...


@dataclass(frozen=True)
class RateDecision:
    allowed: bool
    limit: int
    remaining: int
    retry_after_seconds: int


class RateLimiter(Protocol):
    async def hit(self, bucket: str, *, limit_per_minute: int) -> RateDecision:
        """Counts one request. Falls back to this process's memory while Redis is away; never raises."""
