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
    """In the order of changes. `end` is where the page ends; a `full` one may be followed by more."""

    items: Sequence[TaskChange]
    end: ChangePosition
    full: bool


class ChangeRepository(Protocol):
    """The tasks of all tenants as they change. Of a task only its latest change is there."""

    async def now(self) -> datetime:
        """The server's time: no change that can be seen by now is of a later one."""

    async def after(self, position: ChangePosition, *, limit: int) -> ChangePage: ...

    async def find(self, task_ids: Sequence[TaskId]) -> Sequence[TaskChange]:
        """Those of the tasks that are there, erased ones too, in no order."""

    async def unfinished(self, *, cluster: str, after: str, limit: int) -> tuple[Sequence[TaskChange], str | None]:
        """The cluster's tasks that have not ended, by id, beyond the id `after`; where to go on if there are more."""
