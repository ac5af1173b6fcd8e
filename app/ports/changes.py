"""The changes feed: the tasks of all tenants, in the order in which they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.change import TaskChange
from app.domain.identity import TaskId


@dataclass(frozen=True)
class ChangePosition:
    """A place in the order of changes: after the task `task_id` that changed at that time (server time)."""

    changed_at: datetime
    task_id: str = ""


@dataclass(frozen=True)
class ChangePage:
    """A page of the feed, in the order of changes. `end` is its last position; after a `full` page may come more."""

    items: Sequence[TaskChange]
    end: ChangePosition
    full: bool


class ChangeRepository(Protocol):
    """The tasks of all tenants as they change. The feed holds only the latest change of each task."""

    async def now(self) -> datetime:
        """Reads the server's time. No change that can be read already has a later time."""

    async def after(self, position: ChangePosition, *, limit: int) -> ChangePage: ...

    async def find(self, task_ids: Sequence[TaskId]) -> Sequence[TaskChange]:
        """Reads those of the tasks that exist, erased ones too, in any order."""

    async def unfinished(self, *, cluster: str, after: str, limit: int) -> tuple[Sequence[TaskChange], str | None]:
        """Reads the cluster's tasks that have not ended, by id, after the id `after`.

        The second value is the id to continue after, None on the last page.
        """
