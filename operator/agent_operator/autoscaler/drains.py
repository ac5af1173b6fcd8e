"""Workers on their way out. One goes only when it has proved that it is idle: told to take nothing, and then seen to
run and to hold nothing. A pod that never started needs no proof; one that has, and is silent, is left alone.

A drain is a lease that the worker forgets by itself: an operator that dies here leaves nothing behind for longer.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent_operator.autoscaler.fleet import Pod
from agent_operator.rest.rest_client import Orchestrator, OrchestratorRefused
from app.domain.worker_state import WorkerPresence
from app.telemetry.logs import get_logger

LEASE_SECONDS = 60
RENEW_SECONDS = 15.0

_log = get_logger(__name__)


@dataclass
class Drain:
    """Of the worker in a pod; None while the pod has none. `told_at` is the worker's own time when it was told."""

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

    async def begin(self, pods: Sequence[Pod], presences: Mapping[str, WorkerPresence], count: int) -> int:
        """Up to so many more, those first that have not started, then the least busy; how many they were.

        Raises OrchestratorAway.
        """
        candidates = [
            pod
            for pod in pods
            if pod.name not in self._drains and (pod.name in presences or not pod.started)  # else: runs, and is silent
        ]

        def rank(pod: Pod) -> tuple[bool, int, str]:
            presence = presences.get(pod.name)
            busy = 0 if presence is None else len(presence.running) + len(presence.reserved) + len(presence.lapsed)
            return presence is not None, busy, pod.name

        chosen = sorted(candidates, key=rank)[:count]
        for pod in chosen:
            drain = self._drains[pod.name] = Drain(pod.name, None, None, time.monotonic())
            await self._bind(drain, presences.get(pod.name))
        return len(chosen)

    async def settle(self, pods: Sequence[Pod], presences: Mapping[str, WorkerPresence]) -> None:
        """Forgets pods that are gone, tells workers that came meanwhile, renews leases. Raises OrchestratorAway."""
        there = {pod.name: pod for pod in pods}
        for drain in list(self._drains.values()):
            pod, presence = there.get(drain.pod), presences.get(drain.pod)
            if pod is None or (presence is None and pod.started):
                del self._drains[drain.pod]
            elif presence is not None and presence.worker_id != drain.worker_id:
                await self._bind(drain, presence)
            elif drain.worker_id is not None and time.monotonic() - drain.renewed_at >= RENEW_SECONDS:
                await self._tell(drain.worker_id)
                drain.renewed_at = time.monotonic()

    async def call_back(self, count: int, *, but: Collection[str] = ()) -> None:
        """So many work again, those first that were told last. Raises OrchestratorAway."""
        drains = [drain for drain in self._drains.values() if drain.pod not in but]
        for drain in sorted(drains, key=lambda drain: -drain.renewed_at)[:count]:
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

    def proven(self, presences: Mapping[str, WorkerPresence]) -> list[str]:
        """The pods whose worker has said, since it was told, that it takes nothing and has nothing."""
        return [drain.pod for drain in self._drains.values() if _is_idle(drain, presences.get(drain.pod))]

    def hold(self, pods: Collection[str]) -> bool:
        """Whether the leases of these pods' workers last for a good while yet."""
        oldest = min((self._drains[pod].renewed_at for pod in pods if pod in self._drains), default=time.monotonic())
        return time.monotonic() - oldest < LEASE_SECONDS / 2

    async def _bind(self, drain: Drain, presence: WorkerPresence | None) -> None:
        if presence is not None:
            await self._tell(presence.worker_id)
            drain.worker_id, drain.told_at, drain.renewed_at = presence.worker_id, presence.at, time.monotonic()

    async def _tell(self, worker_id: str) -> None:
        try:
            await self._orchestrator.drain(worker_id, seconds=LEASE_SECONDS)
        except OrchestratorRefused as refusal:
            _log.info("worker_to_drain_is_gone", code=refusal.code, worker_id=worker_id)


def _is_idle(drain: Drain, presence: WorkerPresence | None) -> bool:
    if presence is None:
        return drain.worker_id is None
    said_since = presence.worker_id == drain.worker_id and presence.at != drain.told_at
    return said_since and presence.draining and not (presence.running or presence.reserved or presence.lapsed)
