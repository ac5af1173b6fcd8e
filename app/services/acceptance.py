"""The origin of a request, its hash, and the sending of tickets: the parts that accepting a task needs beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.identity import RequestId, Tenant
from app.domain.task import Source, Task, TaskRequest


@dataclass(frozen=True)
class Origin:
    """The tenant that a request belongs to, and the facts of the HTTP request that are kept with the task."""

    tenant: Tenant
    request_id: RequestId
    source: Source = field(default_factory=Source)
    traceparent: str | None = None
    idempotency_key: str | None = None


class TicketSender(Protocol):
    """Sends the tickets of accepted tasks to the workers, or wakes the dispatcher instead."""

    async def should_dispatch_inline(self, *, delayed: bool, limited: bool) -> bool:
        """Decides before the insert whether a ticket will be sent at once.

        Returns False for a task with a time or a limit to obey: only the dispatcher checks these.
        """

    def after_insert(self, task: Task, dispatched: bool) -> None:
        """Starts sending the ticket or waking the dispatcher, and does not wait for it. Works while Redis is down."""


def hash_request(request: TaskRequest) -> str:
    """Returns the SHA-256 of the request as hex. Two bodies that mean the same have the same hash.

    The hash is stored with its Idempotency-Key and compared after upgrades, so its input must not change.
    """
    fields = request.model_copy(update={"metadata": dict(sorted(request.metadata.items()))})
    return hashlib.sha256(fields.model_dump_json(exclude_none=True).encode()).hexdigest()
