"""Workers on their way out. One goes only when it has proved that it is idle: told to take nothing, and then seen to
run and to hold nothing.

A drain is a lease that the worker forgets by itself: an operator that dies here leaves nothing behind for longer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent_operator.autoscaler.fleet import Pod
from agent_operator.orchestrator import Orchestrator, OrchestratorRefused
from app.ports import WorkerPresence
from app.telemetry.logs import get_logger

LEASE_SECONDS = 60
RENEW_SECONDS = 15.0

_log = get_logger(__name__)


@dataclass
class Drain:
    """Of the worker in a pod; None where the pod has no worker yet. `told_at` is the worker's own time then."""

    pod: str
    worker_id: str | None
    told_at: datetime | None
    renewed_at: float


class Drains:
    """By the pod's name. `presences` are of the workers that speak, by their name: that of their pod."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._drains: dict[str, Drain] = {}

    def __len__(self) -> int:
        return len(self._drains)

    def __contains__(self, pod: str) -> bool:
        return pod in self._drains

    async def begin(self, pods: Sequence[Pod], presences: Mapping[str, WorkerPresence], count: int) -> None:
        """So many more, those first that have not started, then the least busy. Raises OrchestratorAway."""
        candidates = [pod for pod in pods if pod.name not in self._drains]

        def rank(pod: Pod) -> tuple[bool, int, str]:
            presence = presences.get(pod.name)
            busy = 0 if presence is None else len(presence.running) + len(presence.reserved) + len(presence.lapsed)
            return presence is not None or pod.ready, busy, pod.name

        for pod in sorted(candidates, key=rank)[:count]:
            presence = presences.get(pod.name)
            if presence is None and pod.ready:
                continue  # it runs, and does not say what: nobody may touch it
            if presence is not None and not await self._tell(presence.worker_id):
                continue
            self._drains[pod.name] = Drain(
                pod.name,
                None if presence is None else presence.worker_id,
                None if presence is None else presence.at,
                time.monotonic(),
            )

    async def call_back(self, count: int) -> None:
        """So many work again, those first that were told last. Raises OrchestratorAway."""
        for drain in sorted(self._drains.values(), key=lambda drain: -drain.renewed_at)[:count]:
            await self.end(drain.pod)

    async def end(self, pod: str) -> None:
        """The worker may work again, where there is one. Raises OrchestratorAway."""
        drain = self._drains.get(pod)
        if drain is not None and drain.worker_id is not None:
            try:
                await self._orchestrator.undrain(drain.worker_id)
            except OrchestratorRefused as refusal:
                _log.info("worker_to_call_back_is_gone", code=refusal.code, worker_id=drain.worker_id)
        self._drains.pop(pod, None)

    async def renew(self) -> None:
        """Keeps the leases from running out. Raises OrchestratorAway."""
        for drain in list(self._drains.values()):
            if drain.worker_id is not None and time.monotonic() - drain.renewed_at >= RENEW_SECONDS:
                await self._tell(drain.worker_id)
                drain.renewed_at = time.monotonic()

    def forget_gone(self, pods: Sequence[Pod]) -> None:
        """Pods that are no longer there need no drain; a worker that has started since must be told first."""
        names = {pod.name for pod in pods}
        self._drains = {name: drain for name, drain in self._drains.items() if name in names}

    def proven(self, presences: Mapping[str, WorkerPresence]) -> list[str]:
        """The pods whose worker has said, since it was told, that it takes nothing and has nothing."""
        return [drain.pod for drain in self._drains.values() if _is_idle(drain, presences.get(drain.pod))]

    async def _tell(self, worker_id: str) -> bool:
        """False where there is no such worker any more."""
        try:
            await self._orchestrator.drain(worker_id, seconds=LEASE_SECONDS)
        except OrchestratorRefused as refusal:
            _log.info("worker_to_drain_is_gone", code=refusal.code, worker_id=worker_id)
            return False
        return True


def _is_idle(drain: Drain, presence: WorkerPresence | None) -> bool:
    if presence is None:
        return drain.worker_id is None
    said_since = presence.worker_id == drain.worker_id and presence.at != drain.told_at
    return said_since and presence.draining and not (presence.running or presence.reserved or presence.lapsed)
