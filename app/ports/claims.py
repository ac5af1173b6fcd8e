"""Tasks as the worker that runs them sees them: claims, and the writes that a claim fences."""

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
