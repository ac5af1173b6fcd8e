"""The log of the autoscaler's decisions, which the API keeps and shows. A decision that the API cannot accept is sent
again later, with the time at which it was made.

Decisions that were not sent when the operator ends are lost. The changes that they made are in Kubernetes' events.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict
from typing import Any

from agent_operator.autoscaler.decide import Demand, Plan, Reason, WorkerCount
from agent_operator.rest.rest_client import RestClient, RestRefused, RestUnavailable
from app.ports import Clock
from app.telemetry.logs import get_logger

# The API keeps as many: older ones would be dropped there at once.
MOST_WAITING = 200
REPEAT_SECONDS = 30.0

_log = get_logger(__name__)


class DecisionLog:
    """The decisions about one `deployment`, namespace/name, that wait to be sent."""

    def __init__(self, rest: RestClient, clock: Clock, deployment: str) -> None:
        self._rest = rest
        self._clock = clock
        self._deployment = deployment
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)
        self._last: tuple[int, Reason] | None = None
        self._last_at = float("-inf")
        self._recorded = asyncio.Event()

    def record(self, plan: Plan, workers: WorkerCount, demand: Demand | None) -> None:
        """Records a decision. A decision equal to the last one is recorded only once per `REPEAT_SECONDS`."""
        made, now = (plan.staying, plan.reason), self._clock.monotonic()
        if made == self._last and now - self._last_at < REPEAT_SECONDS:
            return
        self._last, self._last_at = made, now
        self._waiting.append(
            {
                "at": self._clock.now().isoformat(),
                "deployment": self._deployment,
                "replicas": workers.replicas,
                "draining": workers.draining,
                "slots_per_pod": workers.slots_per_pod,
                "staying": plan.staying,
                "desired": plan.desired,
                "reason": plan.reason.value,
                "explanation": plan.explanation,
                "inputs": None if demand is None else _inputs(demand),
            }
        )
        self._recorded.set()

    async def deliver(self) -> None:
        """Sends the decisions to the API, the oldest first, until it is cancelled."""
        while True:
            await self._recorded.wait()
            while self._waiting:
                decision = self._waiting[0]
                try:
                    await self._rest.record_decision(decision)
                except RestUnavailable as unavailable:
                    _log.warning("decisions_wait", error_code=unavailable.code, waiting=len(self._waiting))
                    await asyncio.sleep(unavailable.retry_seconds)
                    continue
                except RestRefused as refusal:  # it would be refused again, and hold up all later ones
                    _log.error("decision_refused", error_code=refusal.code)
                if self._waiting[0] is decision:  # else the queue was full meanwhile and has dropped it
                    self._waiting.popleft()
            self._recorded.clear()


def _inputs(demand: Demand) -> dict[str, Any]:
    """Builds the figures of a decision. An API of version 0.1, which holds no task back, does not know `held_back`."""
    inputs = asdict(demand)
    if not demand.held_back:
        del inputs["held_back"]
    return inputs
