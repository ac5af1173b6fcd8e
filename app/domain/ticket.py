"""The ticket of a task."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.identity import TaskId


@dataclass(frozen=True)
class Ticket:
    """The message that goes through Redis: an id and trace headers, never the task's text."""

    task_id: TaskId
    dispatch_seq: int
    request_id: str
    traceparent: str | None = None
