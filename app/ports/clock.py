"""The clock that the services and the worker read."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time, injected so that tests can move it."""

    def now(self) -> datetime:
        """Reads the wall time, aware UTC: for display and logs, never to decide which process owns a task."""

    def monotonic(self) -> float:
        """Reads seconds that only grow: for leases and timeouts within this process."""
