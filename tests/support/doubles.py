"""Small hand-written doubles of our own ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from app.agents.testing import ManualClock as ManualClock
from app.domain.identity import TaskId, Tenant
from app.domain.ticket import Ticket
from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable


class MemoryQueue:
    """A queue whose broker can be switched off; `hold` keeps tickets from being sent until it is set, and `held` is set
    when the first of them is on its way."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.publishes = 0
        self.hold: asyncio.Event | None = None
        self.held = asyncio.Event()
        self.fault: Exception | None = None
        self.workers: list[WorkerPresence] = []
        self.kicked: list[Tenant] = []
        self.down = False
        self.published: dict[str, str | int | float] = {}
        self.arrived = 0
        self.cancels: list[str] = []
        self.heard: list[str] = []

    def _answer(self) -> None:
        if self.down:
            raise BrokerUnavailable("the broker is switched off")

    async def publish(self, tickets: Sequence[Ticket]) -> None:
        self._answer()
        if self.fault is not None:
            raise self.fault
        if self.hold is not None:
            self.held.set()
            await self.hold.wait()
        self.tickets += tickets
        self.publishes += 1

    async def length(self) -> int:
        self._answer()
        return len(self.tickets)

    async def listed(self) -> frozenset[str]:
        self._answer()
        return frozenset(ticket.task_id for ticket in self.tickets)

    async def presences(self) -> Sequence[WorkerPresence]:
        self._answer()
        return self.workers

    async def publish_cancel(self, task_id: TaskId) -> None:
        self._answer()
        self.cancels.append(task_id)

    async def kick(self, tenant: Tenant) -> None:
        self._answer()
        self.kicked.append(tenant)

    async def kicks(self) -> AsyncIterator[str]:
        for text in self.heard:
            yield text

    async def finished(self) -> AsyncIterator[str]:
        for text in self.heard:
            yield text

    async def add_arrivals(self, number: int) -> None:
        self._answer()
        self.arrived += number

    async def arrivals(self) -> int:
        self._answer()
        return self.arrived

    async def publish_snapshot(self, snapshot: Mapping[str, str | int | float]) -> None:
        self._answer()
        self.published = dict(snapshot)

    async def snapshot(self) -> Mapping[str, str]:
        self._answer()
        return {name: str(value) for name, value in self.published.items()}

    async def ping(self) -> None:
        self._answer()


class DrainsDouble:
    """Drain leases that end when told to."""

    def __init__(self) -> None:
        self.drained: set[str] = set()
        self.down = False

    async def begin(self, worker_id: str, *, seconds: int) -> None:
        self.drained.add(worker_id)

    async def end(self, worker_id: str) -> None:
        self.drained.discard(worker_id)

    async def holds(self, worker_id: str) -> bool:
        if self.down:
            raise BrokerUnavailable("the broker is switched off")
        return worker_id in self.drained


def presence(*, slots: int = 8, running: tuple[str, ...] = (), draining: bool = False) -> WorkerPresence:
    return WorkerPresence(
        worker_id="w1",
        name="w1",
        slots=slots,
        running=running,
        reserved=(),
        draining=draining,
        loop_lag_ms=0.0,
        version="1",
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
