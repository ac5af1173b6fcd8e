"""A worker as it publishes itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class RecentFigures:
    """What a worker saw lately: the service times of its last tasks, its model calls and those refused by 429."""

    service_seconds: tuple[float, ...] = ()
    model_calls: int = 0
    rate_limited_calls: int = 0


@dataclass(frozen=True)
class WorkerPresence:
    """What a worker says of itself every two seconds. Ids are of tasks; reserved ones are fetched but not begun.

    `paused` workers fetch no tickets: they are drained, or cannot reach the database. `lapsed` are runs that still take
    a slot although their lease has run out: where their tasks are now, they cannot tell.
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
