"""Kubernetes events, as `kubectl describe` shows them: what happened to an object, in a sentence.

They are for people who look, so under a flood most are left out: a person sees those of the few tasks he makes, and the
API server is spared thousands of writes. Nothing depends on them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from agent_operator.kube.cluster import Cluster, ClusterError
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

COMPONENT = "agent-operator"
BURST = 50
PER_SECOND = 5.0
MESSAGE_CHARACTERS = 1_024

_log = get_logger(__name__)


class EventRecorder:
    """`tell` returns at once; `run` writes what was told."""

    def __init__(self, cluster: Cluster, metrics: AgentTaskMetrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._told: asyncio.Queue[tuple[str, Mapping[str, object]]] = asyncio.Queue(maxsize=BURST)
        self._left = float(BURST)
        self._counted_at = time.monotonic()

    def tell(self, about: Mapping[str, str], *, reason: str, message: str, warning: bool = False) -> None:
        """`about` is a reference to an object, `reason` a word in CamelCase."""
        if not self._has_room():
            self._metrics.operator_events.labels(outcome="left_out").inc()
            return
        self._told.put_nowait((about["namespace"], _event(about, reason, message, warning=warning)))

    def _has_room(self) -> bool:
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._counted_at) * PER_SECOND)
        self._counted_at = now
        if self._left < 1 or self._told.full():
            return False
        self._left -= 1
        return True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            namespace, event = await self._told.get()
            try:
                await self._cluster.create(f"/api/v1/namespaces/{namespace}/events", event)
            except ClusterError as error:
                self._metrics.operator_events.labels(outcome="failed").inc()
                _log.warning("event_not_written", reason=error.reason, event_reason=event["reason"])
            else:
                self._metrics.operator_events.labels(outcome="written").inc()


def _event(about: Mapping[str, str], reason: str, message: str, *, warning: bool) -> dict[str, object]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": f"{about['name'][:200]}.{uuid.uuid4().hex[:16]}", "namespace": about["namespace"]},
        "involvedObject": dict(about),
        "reason": reason,
        "message": message[:MESSAGE_CHARACTERS],
        "type": "Warning" if warning else "Normal",
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
    }
