"""The decisions as the API keeps them. Those that it could not take are handed in again, with the time they were made.

An operator that ends before it could hand them in takes them with it: what they changed stands in Kubernetes' events.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import asdict
from typing import Any

from agent_operator.autoscaler.decide import Demand, Plan, Reason, Workers
from agent_operator.rest.rest_client import Orchestrator, OrchestratorAway, OrchestratorRefused
from app.ports import Clock
from app.telemetry.logs import get_logger

# As many as the API keeps.
WAITING = 200
REPEAT_SECONDS = 30.0

_log = get_logger(__name__)


class Decisions:
    """Of the scaler of one `deployment`, namespace/name."""

    def __init__(self, orchestrator: Orchestrator, clock: Clock, deployment: str) -> None:
        self._orchestrator = orchestrator
        self._clock = clock
        self._deployment = deployment
        self._waiting: deque[dict[str, Any]] = deque(maxlen=WAITING)
        self._last: tuple[int, Reason] | None = None
        self._last_at = float("-inf")
        self._noted = asyncio.Event()

    def note(self, plan: Plan, workers: Workers, demand: Demand | None) -> None:
        """One that says what the last one did is left out, but for one every now and then."""
        made, now = (plan.staying, plan.reason), time.monotonic()
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
                "inputs": None if demand is None else asdict(demand),
            }
        )
        self._noted.set()

    async def hand_in(self) -> None:
        """The oldest first, each as soon as the API takes it. Until cancelled."""
        while True:
            await self._noted.wait()
            while self._waiting:
                decision = self._waiting[0]
                try:
                    await self._orchestrator.keep_decision(decision)
                except OrchestratorAway as away:
                    _log.warning("decisions_wait", code=away.code, waiting=len(self._waiting))
                    await asyncio.sleep(away.retry_seconds)
                    continue
                except OrchestratorRefused as refusal:
                    _log.error("decision_refused", code=refusal.code)
                if self._waiting[0] is decision:  # else there were too many, and it was the oldest
                    self._waiting.popleft()
            self._noted.clear()
