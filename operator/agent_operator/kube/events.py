"""Kubernetes events, as `kubectl describe` shows them: each describes in a sentence what happened to an object.

They are for people only, so under a flood most are left out. A person still sees those of a few tasks, and the API
server does not get thousands of writes. No part of the operator depends on them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import datetime

from agent_operator.kube.cluster import Cluster, ClusterError
from app.ports import Clock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

COMPONENT = "agent-operator"
# A token bucket: this many events at once, then this many a second. docs/operator.md promises these two numbers.
BURST = 50
PER_SECOND = 5.0
MESSAGE_CHARACTERS = 1_024  # the limit for the note of an event in events.k8s.io/v1

_log = get_logger(__name__)


class EventRecorder:
    """The queue of events to write: `emit` adds one and returns at once, `run` writes them."""

    def __init__(self, cluster: Cluster, metrics: AgentTaskMetrics, clock: Clock) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._queued: asyncio.Queue[tuple[str, Mapping[str, object]]] = asyncio.Queue(maxsize=BURST)
        self._tokens = float(BURST)
        self._refilled_at = clock.monotonic()

    def emit(self, about: Mapping[str, str], *, reason: str, message: str, warning: bool = False) -> None:
        """Queues an event, or leaves it out if there are too many.

        `about` is a reference to an object, `reason` a word in CamelCase.
        """
        if not self._take_token():
            self._metrics.operator_events.labels(outcome="left_out").inc()
            return
        self._queued.put_nowait(
            (about["namespace"], _event(about, reason, message, now=self._clock.now(), warning=warning))
        )

    def _take_token(self) -> bool:
        now = self._clock.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._refilled_at) * PER_SECOND)
        self._refilled_at = now
        # The queue is full while the API server is slow or unavailable, however many tokens there are.
        if self._tokens < 1 or self._queued.full():
            return False
        self._tokens -= 1
        return True

    async def run(self) -> None:
        """Writes the queued events until it is cancelled."""
        while True:
            namespace, event = await self._queued.get()
            try:
                await self._cluster.create(f"/api/v1/namespaces/{namespace}/events", event)
            except ClusterError as error:
                # Not written again: an event that comes late is worth less than the room for the next one.
                self._metrics.operator_events.labels(outcome="failed").inc()
                _log.warning("event_not_written", reason=error.reason, event_reason=event["reason"])
            else:
                self._metrics.operator_events.labels(outcome="written").inc()


def _event(about: Mapping[str, str], reason: str, message: str, *, now: datetime, warning: bool) -> dict[str, object]:
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        # A name has 253 characters at most; the suffix needs 17 of them.
        "metadata": {"name": f"{about['name'][:200]}.{uuid.uuid4().hex[:16]}", "namespace": about["namespace"]},
        "involvedObject": dict(about),
        "reason": reason,
        "message": message[:MESSAGE_CHARACTERS],
        "type": "Warning" if warning else "Normal",
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
    }
