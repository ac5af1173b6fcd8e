"""The store of tasks for the worker that runs them: claims, and the writes that a claim fences."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.identity import ClaimId, SessionId, TaskId, Tenant
from app.domain.message import Message
from app.domain.task import Requeue, Routing, Spending, Step, Task, TaskError, TaskResult
from app.domain.usage import Usage


@dataclass(frozen=True)
class Claim:
    """One claim of one task. `epoch` fences every write made under it."""

    task_id: TaskId
    claim_id: ClaimId
    epoch: int


@dataclass(frozen=True)
class RunUpdate:
    """The additions of one fenced write: steps of the journal, and the facts that became known with them.

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
    """The answer to a renewal: the claims that are lost, and the claims whose task shall be cancelled."""

    lost: frozenset[ClaimId]
    cancelled: frozenset[ClaimId]


class LeaseRenewer(Protocol):
    """The part that renews leases."""

    async def heartbeat(self, claims: Sequence[Claim]) -> Heartbeat:
        """Renews the leases of all claims in one write."""


class ClaimReturner(Protocol):
    """The part that undoes a claim of unknown outcome."""

    async def abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        """Requeues the task if this claim, whose answer never came, was granted after all. It counts no crash."""


class TicketReturner(Protocol):
    """The part that gives back tickets which were fetched and not used."""

    async def return_ticket(self, task_id: TaskId) -> None:
        """Lets a task whose ticket is not used wait for another one, unless it has been claimed."""


class ClaimRepository(LeaseRenewer, ClaimReturner, TicketReturner, Protocol):
    """The tasks that a worker claims and runs. A fenced write returns False if the claim is lost."""

    async def claim(self, task_id: TaskId, *, claim_id: ClaimId) -> Task | None:
        """Takes a queued, dispatched, due, uncancelled task. Returns None if the task is not in that state."""

    async def history(self, tenant: Tenant, session_id: SessionId, *, before: Task) -> Sequence[Message]:
        """Reads the messages of the session's completed earlier tasks, oldest first; answers have their citations."""

    async def record(self, claim: Claim, update: RunUpdate) -> bool:
        """Adds the update and leaves the task running. The four methods below end the run with theirs."""

    async def complete(self, claim: Claim, update: RunUpdate, result: TaskResult) -> bool: ...

    async def fail(self, claim: Claim, update: RunUpdate, error: TaskError, partial: TaskResult | None) -> bool: ...

    async def cancel(self, claim: Claim, update: RunUpdate) -> bool: ...

    async def requeue(
        self, claim: Claim, update: RunUpdate, *, reason: Requeue, delay_seconds: float, error: TaskError | None
    ) -> bool: ...
