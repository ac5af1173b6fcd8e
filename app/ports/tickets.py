"""The broker: tickets, presence, drain leases, rate limits. An error is never an empty answer.

If Redis does not answer in time every method raises BrokerUnavailable, except `RateLimiter.hit` and the subscriptions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.identity import TaskId, Tenant
from app.domain.ticket import Ticket
from app.domain.worker_state import WorkerPresence


class TaskQueue(Protocol):
    """The list of tickets, and the figures and messages about it that processes exchange through Redis."""

    async def publish(self, tickets: Sequence[Ticket]) -> None: ...

    async def length(self) -> int:
        """Counts the tickets in the list: those that no worker has fetched yet."""

    async def listed(self) -> frozenset[str]:
        """Reads the ids of the tasks whose tickets are in the list."""

    async def presences(self) -> Sequence[WorkerPresence]:
        """Reads what the living workers have published of themselves. Writes nothing."""

    async def forget_silent_workers(self) -> None:
        """Removes what is left of workers that have published nothing for a while."""

    async def publish_cancel(self, task_id: TaskId) -> None:
        """Asks the worker that runs the task to stop it. If the message is lost, the next heartbeat finds the flag."""

    async def kick(self, tenant: Tenant) -> None:
        """Wakes the dispatcher, because a task of this tenant waits."""

    def kicks(self) -> AsyncIterator[str]:
        """Yields the tenant of every kick. Never ends; connects again by itself and misses the kicks in between."""

    def finished(self) -> AsyncIterator[str]:
        """Yields the id of every task that ends while Redis is reachable. Never ends."""

    async def add_arrivals(self, number: int) -> None:
        """Adds `number` accepted tasks to the shared count."""

    async def arrivals(self) -> int:
        """Reads the count of accepted tasks of all API processes. It restarts at 0 when Redis loses it."""

    async def publish_snapshot(self, snapshot: Mapping[str, str | int | float]) -> None: ...

    async def snapshot(self) -> Mapping[str, str]: ...

    async def check(self) -> None:
        """Checks that Redis answers and takes writes. Raises BrokerUnavailable, with the reason if it refuses them."""


class DrainLeases(Protocol):
    """The leases that keep workers from taking tasks for a while."""

    async def begin(self, worker_id: str, *, seconds: int) -> None:
        """Starts the worker's lease, or replaces the one it has: it ends `seconds` from now."""

    async def end(self, worker_id: str) -> None: ...

    async def holds(self, worker_id: str) -> bool: ...


@dataclass(frozen=True)
class RateDecision:
    """The answer to one request. `remaining` requests fit now; after `retry_after_seconds` one more does."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_seconds: int


class RateLimiter(Protocol):
    async def hit(self, bucket: str, *, limit_per_minute: int) -> RateDecision:
        """Counts one request. Counts in this process's memory while Redis is unavailable; never raises."""
