"""Back-pressure of the REST API: while it takes nothing, thousands of objects wait without asking it one by one.

An answer that asks for patience closes the gate for the time it names: for all where the API itself is in trouble, for
one tenant where its own queue is full. When the time is over, one goes through and finds out; the others follow when it
was taken.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from agent_operator.rest.rest_client import OrchestratorAway

OF_ONE_TENANT = frozenset({"TENANT_QUEUE_FULL", "RATE_LIMITED"})
ALL = ""


@dataclass
class _Closed:
    away: OrchestratorAway
    until: float


class Gate:
    """Times are of the monotonic clock."""

    def __init__(self) -> None:
        self._closed: dict[str, _Closed] = {}

    def enter(self, tenant: str) -> None:
        """Raises the OrchestratorAway for which the gate is closed, with the time that is left of it.

        That one is told to the object, and never closes the gate again: it would shrink with every try.
        """
        for whose in (ALL, tenant):
            closed = self._closed.get(whose)
            if closed is None:
                continue
            left_seconds = closed.until - time.monotonic()
            if left_seconds > 0:
                raise OrchestratorAway(closed.away.code, str(closed.away), retry_seconds=left_seconds)
            closed.until = time.monotonic() + closed.away.retry_seconds  # this one finds out, the others wait

    def taken(self, tenant: str) -> None:
        """The API took, or finally refused, something of this tenant: it is there, and answers."""
        for whose in (ALL, tenant):
            self._closed.pop(whose, None)

    def close(self, tenant: str, away: OrchestratorAway) -> None:
        whose = tenant if away.code in OF_ONE_TENANT else ALL
        self._closed[whose] = _Closed(away, time.monotonic() + away.retry_seconds)
