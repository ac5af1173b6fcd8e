"""Repeats of a database operation until the database answers: an outage delays a run, it does not end it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import StoreError, StoreFault, StoreUnavailable
from app.telemetry.logs import get_logger

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
FAULT_SECONDS = 60.0  # a server that recovers may answer with faults at first; those pass within this time

Answer = TypeVar("Answer")

_log = get_logger(__name__)


async def until_answered(
    operation: Callable[[], Awaitable[Answer]], *, action: str, task_id: str, for_seconds: float = float("inf")
) -> Answer:
    """Repeats the operation, with growing pauses, as long as it raises StoreUnavailable.

    Raises the StoreUnavailable of the first try that fails after `for_seconds`. Raises StoreError if the database has
    answered with nothing except faults of its own for a minute: it will never do this.
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
            # An outage between two faults starts the minute anew: the database that comes back may do it.
            faulty_since = (faulty_since or now) if isinstance(outage, StoreFault) else None
            if faulty_since is not None and now - faulty_since >= FAULT_SECONDS:
                raise StoreError(
                    f"MongoDB has failed to {action} for task {task_id} for {FAULT_SECONDS:g} seconds; see its own log"
                ) from outage
            _log.warning("database_retried", action=action, task_id=task_id)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
