"""The store of tasks for the service of their owners, and of the idempotency keys that submitted them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.identity import SessionId, TaskId, Tenant
from app.domain.task import NewTask, Task, TaskStatus, TaskSummary


@dataclass(frozen=True)
class TaskFilter:
    """The restrictions of a list of tasks; None restricts nothing.

    `text` is a case-insensitive part of the text, `id_prefix` the beginning of the id, in lower case.
    """

    status: TaskStatus | None = None
    agent_type: str | None = None
    session_id: SessionId | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    text: str | None = None
    id_prefix: str | None = None


@dataclass(frozen=True)
class TaskPage:
    """A page of tasks, newest first. `next_cursor` is opaque; None on the last page."""

    items: Sequence[TaskSummary]
    next_cursor: str | None


@dataclass(frozen=True)
class StoredTask:
    """The task that the store has under an id. `is_new`: this insert stored it."""

    task: Task
    is_new: bool


class TaskRepository(Protocol):
    """The tasks of tenants: every method reads and writes those of the given tenant only."""

    async def insert(self, task: NewTask, *, dispatched: bool, new_session: bool) -> StoredTask:
        """Stores the task as queued, with its first message and event. A task that has the id already stays as it is.

        `dispatched`: a ticket will be sent at once. `new_session`: no earlier turn exists, so no history is read.
        """

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Raises TaskNotFound (also for another tenant's id) or TaskErased."""

    async def has_ended(self, tenant: Tenant, task_id: TaskId) -> bool:
        """Reads no more than the status, for callers that ask again and again. Raises TaskNotFound or TaskErased."""

    async def find_page(self, tenant: Tenant, task_filter: TaskFilter, *, cursor: str | None, limit: int) -> TaskPage:
        """Stable under inserts. Raises InvalidRequest for a cursor that this API did not make."""

    async def count_queued(self, tenant: Tenant, *, up_to: int) -> int:
        """Counts the tenant's queued tasks, no further than `up_to`."""

    async def request_cancel(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Cancels a queued task at once, flags a running one, and leaves a finished one as it is."""

    async def erase_session(self, tenant: Tenant, session_id: SessionId) -> Sequence[TaskId]:
        """Cancels the session's unfinished tasks, removes the texts of all for good, and leaves tombstones."""


@dataclass(frozen=True)
class IdempotencyRecord:
    """The task that a key made, or is to make. `accepted`: the task is stored."""

    task_id: TaskId
    body_hash: str
    accepted: bool


class IdempotencyReader(Protocol):
    """The part of the store that finds tasks by their keys."""

    async def find(self, tenant: Tenant, key: str) -> IdempotencyRecord | None: ...


class IdempotencyRepository(IdempotencyReader, Protocol):
    """The idempotency keys of tenants. A record stays while its task is stored, and for some time in any case."""

    async def reserve(self, tenant: Tenant, key: str, *, body_hash: str, task_id: TaskId) -> IdempotencyRecord:
        """Returns the record of this key: the caller's own, or the one that was there first."""

    async def mark_accepted(self, tenant: Tenant, key: str) -> None: ...
