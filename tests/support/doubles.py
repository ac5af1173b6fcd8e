"""Small hand-written doubles of our own ports.

`Memory…` implements a port in memory; `Scripted…` has prepared answers; `Manual…` is moved by the test, such as
`app.agents.testing.ManualClock`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

from app.agents.testing import ManualClock as ManualClock
from app.domain.identity import ClaimId, TaskId, Tenant
from app.domain.ticket import Ticket
from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable
from app.ports import Claim, Heartbeat


class MemoryQueue:
    """A task queue in memory.

    While `down` is true, every command raises BrokerUnavailable. If a test gives `hold`, `publish` waits until it is
    set; `held` is set as soon as a first call waits. `fault` is an error that `publish` raises.
    """

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
        self.messages: list[str] = []

    def _check_reachable(self) -> None:
        if self.down:
            raise BrokerUnavailable("the broker is switched off")

    async def publish(self, tickets: Sequence[Ticket]) -> None:
        self._check_reachable()
        if self.fault is not None:
            raise self.fault
        if self.hold is not None:
            self.held.set()
            await self.hold.wait()
        self.tickets += tickets
        self.publishes += 1

    async def length(self) -> int:
        self._check_reachable()
        return len(self.tickets)

    async def listed(self) -> frozenset[str]:
        self._check_reachable()
        return frozenset(ticket.task_id for ticket in self.tickets)

    async def presences(self) -> Sequence[WorkerPresence]:
        self._check_reachable()
        return self.workers

    async def publish_cancel(self, task_id: TaskId) -> None:
        self._check_reachable()
        self.cancels.append(task_id)

    async def kick(self, tenant: Tenant) -> None:
        self._check_reachable()
        self.kicked.append(tenant)

    async def kicks(self) -> AsyncIterator[str]:
        for text in self.messages:
            yield text

    async def finished(self) -> AsyncIterator[str]:
        for text in self.messages:
            yield text

    async def add_arrivals(self, number: int) -> None:
        self._check_reachable()
        self.arrived += number

    async def arrivals(self) -> int:
        self._check_reachable()
        return self.arrived

    async def publish_snapshot(self, snapshot: Mapping[str, str | int | float]) -> None:
        self._check_reachable()
        self.published = dict(snapshot)

    async def snapshot(self) -> Mapping[str, str]:
        self._check_reachable()
        return {name: str(value) for name, value in self.published.items()}

    async def forget_silent_workers(self) -> None:
        self._check_reachable()

    async def check(self) -> None:
        self._check_reachable()


class TakenBack:
    """The tasks whose tickets could not be sent, in the order in which they were taken back."""

    def __init__(self) -> None:
        self.task_ids: list[TaskId] = []

    async def take_back(self, task_ids: Sequence[TaskId]) -> None:
        self.task_ids += task_ids


class MemoryDrains:
    """The drain leases in memory. A lease ends by `end` alone; `holds` raises BrokerUnavailable while `down`."""

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


class IdleClaims:
    """The claims of a worker whose leases are never renewed and whose tickets are never returned in the test."""

    async def heartbeat(self, claims: Sequence[Claim]) -> Heartbeat:
        raise AssertionError("no lease is renewed here")

    async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        raise AssertionError("no claim is abandoned here")

    async def return_ticket(self, task_id: TaskId) -> None:
        raise AssertionError("no ticket is returned here")


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
