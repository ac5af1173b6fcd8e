"""Asking the database until it answers: an outage delays a run, it does not end it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import StoreError, StoreFault, StoreUnavailable
from app.telemetry.logs import get_logger

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
FAULT_SECONDS = 60.0
Answer = TypeVar("Answer")

_log = get_logger(__name__)


async def until_answered(
    operation: Callable[[], Awaitable[Answer]], *, action: str, task_id: str, for_seconds: float = float("inf")
) -> Answer:
    """Repeats the operation, with growing pauses, as long as it raises StoreUnavailable.

    Raises the last StoreUnavailable that comes after `for_seconds`, and StoreError where the database has answered with
    nothing but faults of its own for a minute: it will not do this.
    """
    give_up_at = time.monotonic() + for_seconds
    pause_seconds = FIRST_PAUSE_SECONDS
    faulty_since: float | None = None
    while True:
        try:
            return await operation()
        except StoreUnavailable as outage:
            now = time.monotonic()
            if now >= give_up_at:
                raise
            faulty_since = (faulty_since or now) if isinstance(outage, StoreFault) else None
            if faulty_since is not None and now - faulty_since >= FAULT_SECONDS:
                raise StoreError(f"MongoDB fails to {action} for task {task_id}, again and again") from outage
            _log.warning("database_asked_again", action=action, task_id=task_id)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
