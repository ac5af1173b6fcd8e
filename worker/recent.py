"""Recent figures of this worker: how long tasks took, and how many model calls were refused for their rate.

They are published with the presence, and the leader merges those of all workers. Old figures expire, so that a guard
that reads them never acts on calls of long ago.
"""

from __future__ import annotations

from collections import deque

from app.domain.usage import AttemptStatus, ModelAttempt
from app.domain.worker_state import RecentFigures
from app.ports import Clock

SERVICE_WINDOW_SECONDS = 300.0
SERVICE_SAMPLES = 50  # presence carries every sample, and is written every two seconds
# The autoscaler's guard must see again soon that a provider answers: without fresh calls it lets a worker try.
CALL_WINDOW_SECONDS = 60.0


class RecentWork:
    """The durations and model calls of the last minutes. Belongs to the event loop of the runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._services: deque[tuple[float, float]] = deque(maxlen=SERVICE_SAMPLES)
        self._calls: deque[tuple[float, bool]] = deque()

    def record_service(self, seconds: float) -> None:
        """Records how long this worker took for a task that has ended."""
        self._services.append((self._clock.monotonic(), seconds))

    def record_attempt(self, attempt: ModelAttempt) -> None:
        """Records a call; a skipped attempt made none."""
        if attempt.status is not AttemptStatus.SKIPPED:
            self._calls.append((self._clock.monotonic(), attempt.status is AttemptStatus.RATE_LIMITED))

    def figures(self) -> RecentFigures:
        """Returns the figures that are not too old, and drops the others."""
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
