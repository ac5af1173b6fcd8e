"""The presence of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class RecentFigures:
    """The recent figures of a worker: service times of its last tasks, its model calls, and those refused with 429."""

    service_seconds: tuple[float, ...] = ()
    model_calls: int = 0
    rate_limited_calls: int = 0


@dataclass(frozen=True)
class WorkerPresence:
    """The state that a worker publishes every two seconds. Ids are of tasks; reserved ones are fetched but not begun.

    `paused` workers fetch no tickets: they are drained, or cannot reach the database. `lapsed` runs still take a slot
    although their lease has run out; another worker may hold their tasks by now.
    """

    worker_id: str
    name: str
    slots: int
    running: tuple[str, ...]
    reserved: tuple[str, ...]
    draining: bool
    loop_lag_ms: float
    version: str
    at: datetime
    breakers: Mapping[str, str] = field(default_factory=dict)
    recent: RecentFigures = RecentFigures()
    condition: str = "ok"
    memory_mb: float = 0.0
    paused: bool = False
    lapsed: tuple[str, ...] = ()
