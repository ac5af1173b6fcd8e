"""The real clock. Tests inject a clock of their own instead."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The clock of the operating system. Implements `app.ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
