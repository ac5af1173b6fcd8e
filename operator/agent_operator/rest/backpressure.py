"""Back-off from the REST API: while the API accepts no submissions, thousands of objects wait without a request each.

An answer with a retry time starts a back-off of that length: for all tenants if the API itself is in trouble, for one
tenant if its own queue is full. When the time is over, one submission goes through as a probe. The others follow when
the API has accepted it.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent_operator.rest.rest_client import RestUnavailable
from app.ports import Clock

# These codes concern the quota of one tenant. All other codes mean that the API accepts nothing from anybody.
OF_ONE_TENANT = frozenset({"TENANT_QUEUE_FULL", "RATE_LIMITED"})
ALL = ""


@dataclass
class _BackOff:
    cause: RestUnavailable
    until: float


class Backpressure:
    """The back-offs that are active, one for each tenant and one for all. Times are of the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active: dict[str, _BackOff] = {}

    def check(self, tenant: str) -> None:
        """Raises RestUnavailable with the time that is left of the back-off, if there is one for this tenant.

        The caller writes this error into the object's status and must never start a back-off with it.
        """
        for whose in (ALL, tenant):
            active = self._active.get(whose)
            if active is None:
                continue
            left_seconds = active.until - self._clock.monotonic()
            if left_seconds > 0:
                # A new error, with the time that is left: the cause keeps its full length for the next probe.
                raise RestUnavailable(active.cause.code, str(active.cause), retry_seconds=left_seconds)
            # This caller is the probe. The back-off starts again for the others until the probe has its answer.
            active.until = self._clock.monotonic() + active.cause.retry_seconds

    def lift(self, tenant: str) -> None:
        """Ends the back-offs for this tenant and for all: the API has accepted or refused something, so it answers."""
        for whose in (ALL, tenant):
            self._active.pop(whose, None)

    def begin(self, tenant: str, cause: RestUnavailable) -> None:
        """Starts a back-off for the retry time of `cause`."""
        whose = tenant if cause.code in OF_ONE_TENANT else ALL
        self._active[whose] = _BackOff(cause, self._clock.monotonic() + cause.retry_seconds)
