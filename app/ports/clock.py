"""Time as the services and the worker see it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time, injected so that tests can move it."""

    def now(self) -> datetime:
        """Aware UTC wall time: for display and logs, never to decide who owns a task."""

    def monotonic(self) -> float:
        """Seconds that only grow: for leases and timeouts within this process."""
