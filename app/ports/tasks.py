"""Tasks as their owners see them, and the idempotency keys that submitted them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.identity import SessionId, TaskId, Tenant
from app.domain.task import NewTask, Task, TaskStatus, TaskSummary


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks a list shows; None is no restriction. `text` is a case-insensitive part of the task's text."""

    status: TaskStatus | None = None
    agent_type: str | None = None
    session_id: SessionId | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    text: str | None = None


@dataclass(frozen=True)
class TaskPage:
    """Newest first. `next_cursor` is opaque; None on the last page."""

    items: Sequence[TaskSummary]
    next_cursor: str | None


class TaskRepository(Protocol):
    """Tasks as their owners see them."""

    async def insert(self, task: NewTask, *, dispatched: bool, new_session: bool) -> Task:
        """Stores the task as queued, its first message and event with it; the same id twice returns the stored task.

        `dispatched`: a ticket is about to be sent. `new_session`: there is no earlier turn to read.
        """

    async def get(self, tenant: Tenant, task_id: TaskId) -> Task:
        """Raises TaskNotFound (also for another tenant's id) or TaskErased."""

    async def find_page(self, tenant: Tenant, task_filter: TaskFilter, *, cursor: str | None, limit: int) -> TaskPage:
        """Stable under inserts. Raises InvalidRequest for a cursor that this API did not make."""

    async def count_queued(self, tenant: Tenant, *, up_to: int) -> int:
        """How many tasks of the tenant are queued; counts no further than `up_to`."""

    async def request_cancel(self, tenant: Tenant, task_id: TaskId) -> Task:
        """A queued task is cancelled at once, a running one flagged, a finished one left as it is."""

    async def erase_session(self, tenant: Tenant, session_id: SessionId) -> Sequence[TaskId]:
        """Removes the texts of the session's tasks for good and leaves tombstones; running ones are cancelled."""


@dataclass(frozen=True)
class IdempotencyRecord:
    task_id: TaskId
    body_hash: str
    accepted: bool


class IdempotencyRepository(Protocol):
    async def reserve(self, tenant: Tenant, key: str, *, body_hash: str, task_id: TaskId) -> IdempotencyRecord:
        """The record of this key: the caller's own, or the one that was there first. Records outlive their task."""

    async def find(self, tenant: Tenant, key: str) -> IdempotencyRecord | None: ...

    async def mark_accepted(self, tenant: Tenant, key: str) -> None: ...
