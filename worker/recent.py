"""What this worker saw lately: how long tasks took, and how many model calls were refused for their rate.

It goes out with the presence; the leader merges what all workers say. Old figures expire, so that a guard which looks
at them never acts on calls of long ago.
"""

from __future__ import annotations

from collections import deque

from app.domain.usage import AttemptStatus, ModelAttempt
from app.domain.worker_state import RecentFigures
from app.ports import Clock

SERVICE_WINDOW_SECONDS = 300.0
SERVICE_SAMPLES = 50
CALL_WINDOW_SECONDS = 60.0


class RecentWork:
    """Belongs to the event loop that the runs are on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._services: deque[tuple[float, float]] = deque(maxlen=SERVICE_SAMPLES)
        self._calls: deque[tuple[float, bool]] = deque()

    def note_service(self, seconds: float) -> None:
        """Counts a task that ended after so many seconds with this worker."""
        self._services.append((self._clock.monotonic(), seconds))

    def note_attempt(self, attempt: ModelAttempt) -> None:
        """Counts a call; an attempt that was skipped made none."""
        if attempt.status is not AttemptStatus.SKIPPED:
            self._calls.append((self._clock.monotonic(), attempt.status is AttemptStatus.RATE_LIMITED))

    def figures(self) -> RecentFigures:
        now = self._clock.monotonic()
        while self._services and now - self._services[0][0] > SERVICE_WINDOW_SECONDS:
            self._services.popleft()
        while self._calls and now - self._calls[0][0] > CALL_WINDOW_SECONDS:
            self._calls.popleft()
        return RecentFigures(
            service_seconds=tuple(round(seconds, 3) for _, seconds in self._services),
            model_calls=len(self._calls),
            rate_limited_calls=sum(limited for _, limited in self._calls),
        )
