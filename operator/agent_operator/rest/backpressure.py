"""Back-off from the REST API: while the API accepts no submissions, thousands of objects wait without a request each.

An answer with a retry time starts a back-off: for all tenants if the API itself is in trouble, for one tenant if its
own queue is full. When the time is over, one submission goes through as a probe. The others follow when the API has
accepted it. After a fault of the API the first back-offs are short and double up to the retry time, because the cause
may be one object: one whose submission has failed before, while others have passed since, waits alone, longer each
time.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent_operator.rest.rest_client import RestUnavailable
from app.ports import Clock

# These codes concern the quota of one tenant. All other codes mean that the API accepts nothing from anybody.
OF_ONE_TENANT = frozenset({"TENANT_QUEUE_FULL", "RATE_LIMITED"})
# These hold for everybody, whatever was submitted.
OF_THE_API = frozenset({"INTAKE_PAUSED", "KEY_UNREADABLE"})
ALL = ""
FIRST_SECONDS = 0.5
OTHERS_FIRST_SECONDS = 1.0


@dataclass
class _BackOff:
    cause: RestUnavailable
    until: float


class Backpressure:
    """The back-offs that are active, one for each tenant and one for all. Times are of the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active: dict[str, _BackOff] = {}
        self._failures_in_a_row = 0
        self._passed_at = float("-inf")

    def check(self, tenant: str, *, failed_before: float | None = None) -> None:
        """Raises RestUnavailable with the time that is left of the back-off, if there is one for this tenant.

        The probe is an object that has not failed before, if one comes soon. The caller writes this error into the
        object's status and must never start a back-off with it.
        """
        for whose in (ALL, tenant):
            active = self._active.get(whose)
            if active is None:
                continue
            grace_seconds = 0.0 if failed_before is None else OTHERS_FIRST_SECONDS
            left_seconds = active.until + grace_seconds - self._clock.monotonic()
            if left_seconds > 0:
                # A new error, with the time that is left: the cause keeps its full length for the next probe.
                raise RestUnavailable(active.cause.code, str(active.cause), retry_seconds=left_seconds)
            # This caller is the probe. The back-off starts again for the others until the probe has its answer.
            active.until = self._clock.monotonic() + active.cause.retry_seconds

    def lift(self, tenant: str) -> None:
        """Ends the back-offs for this tenant and for all: the API has accepted or refused something, so it answers."""
        for whose in (ALL, tenant):
            self._active.pop(whose, None)
        self._failures_in_a_row = 0
        self._passed_at = self._clock.monotonic()

    def begin(self, tenant: str, cause: RestUnavailable, *, failed_before: float | None) -> bool:
        """Starts a back-off because of `cause`, unless the object itself is at fault; returns False in that case.

        That is so if a submission of it failed before, at the time `failed_before`, and others have passed since.
        """
        if cause.code in OF_ONE_TENANT:
            self._active[tenant] = _BackOff(cause, self._clock.monotonic() + cause.retry_seconds)
            return True
        if cause.code in OF_THE_API:
            self._active[ALL] = _BackOff(cause, self._clock.monotonic() + cause.retry_seconds)
            return True
        if failed_before is not None and self._passed_at > failed_before:
            self._active.pop(ALL, None)  # it may have been the probe
            return False
        seconds = min(cause.retry_seconds, FIRST_SECONDS * 2.0 ** min(self._failures_in_a_row, 10))
        self._failures_in_a_row += 1
        self._active[ALL] = _BackOff(cause, self._clock.monotonic() + seconds)
        return True
