"""The drains of workers whose pods will be removed. A pod is removed only after its worker has proved that it is idle:
the worker was drained, and a later presence shows no task. A pod that has never started needs no proof. A pod that has
started and whose worker publishes no presence is left alone, because it may run tasks.

A drain is a lease that ends by itself. So if the operator dies, its drains last for at most `LEASE_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent_operator.autoscaler.fleet import Pod
from agent_operator.rest.rest_client import RestClient, RestRefused
from app.domain.worker_state import WorkerPresence
from app.ports import Clock
from app.telemetry.logs import get_logger

LEASE_SECONDS = 60
# Renewed four times within a lease, so three renewals may fail before a drained worker claims tasks again.
RENEW_SECONDS = 15.0

_log = get_logger(__name__)


@dataclass
class Drain:
    """The drain of one pod. `worker_id` and `presence_at` are None until its worker announces itself; `presence_at` is
    the time of the presence seen when the drain was requested.
    """

    pod: str
    worker_id: str | None
    presence_at: datetime | None
    renewed_at: float


class Drains:
    """The drains under way, by the pod's name. All `presences` are by the worker's name, which is that of its pod."""

    def __init__(self, rest: RestClient, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock
        self._drains: dict[str, Drain] = {}

    def __len__(self) -> int:
        return len(self._drains)

    def __contains__(self, pod: str) -> bool:
        return pod in self._drains

    async def begin(self, pods: Sequence[Pod], presences: Mapping[str, WorkerPresence], count: int) -> int:
        """Drains up to `count` further pods: first those that have not started, then the least busy.

        Returns the number of drains that it has begun. Raises RestUnavailable.
        """
        # Without a presence a pod that has started may run tasks.
        candidates = [
            pod for pod in pods if pod.name not in self._drains and (pod.name in presences or not pod.started)
        ]

        def rank(pod: Pod) -> tuple[bool, int, str]:
            presence = presences.get(pod.name)
            busy = 0 if presence is None else len(presence.running) + len(presence.reserved) + len(presence.lapsed)
            return presence is not None, busy, pod.name

        chosen = sorted(candidates, key=rank)[:count]
        for pod in chosen:
            drain = self._drains[pod.name] = Drain(pod.name, None, None, self._clock.monotonic())
            await self._bind(drain, presences.get(pod.name))
        return len(chosen)

    async def refresh(self, pods: Sequence[Pod], presences: Mapping[str, WorkerPresence]) -> None:
        """Forgets pods that are gone, drains workers that have started since, renews leases. Raises RestUnavailable."""
        there = {pod.name: pod for pod in pods}
        for drain in list(self._drains.values()):
            pod, presence = there.get(drain.pod), presences.get(drain.pod)
            if pod is None or (presence is None and pod.started):
                del self._drains[drain.pod]
            elif presence is not None and presence.worker_id != drain.worker_id:
                # The pod's container has restarted: the new worker knows nothing of the drain of the old one.
                await self._bind(drain, presence)
            elif drain.worker_id is not None and self._clock.monotonic() - drain.renewed_at >= RENEW_SECONDS:
                await self._drain_worker(drain.worker_id)
                drain.renewed_at = self._clock.monotonic()

    async def call_back(self, count: int, *, excluding: Collection[str] = ()) -> None:
        """Ends `count` drains, most recently renewed first. Raises RestUnavailable."""
        drains = [drain for drain in self._drains.values() if drain.pod not in excluding]
        for drain in sorted(drains, key=lambda drain: -drain.renewed_at)[:count]:
            await self.end(drain.pod)

    async def end(self, pod: str) -> None:
        """Ends the drain of one pod: its worker claims tasks again. Raises RestUnavailable."""
        drain = self._drains.get(pod)
        if drain is not None and drain.worker_id is not None:
            try:
                await self._rest.undrain(drain.worker_id)
            except RestRefused as refusal:
                _log.info("worker_to_call_back_is_gone", error_code=refusal.code, worker_id=drain.worker_id)
        self._drains.pop(pod, None)

    def proven_idle(self, presences: Mapping[str, WorkerPresence]) -> list[str]:
        """Returns the pods whose worker has published, since it was drained, that it is draining and has no task."""
        return [drain.pod for drain in self._drains.values() if _is_idle(drain, presences.get(drain.pod))]

    def are_fresh(self, pods: Collection[str]) -> bool:
        """Checks whether the leases of these pods' workers last for at least half of `LEASE_SECONDS`.

        Marking pods and patching the scale take time. A lease that ended meanwhile would let a worker claim a task just
        before its pod is removed.
        """
        now = self._clock.monotonic()
        oldest = min((self._drains[pod].renewed_at for pod in pods if pod in self._drains), default=now)
        return now - oldest < LEASE_SECONDS / 2

    async def _bind(self, drain: Drain, presence: WorkerPresence | None) -> None:
        if presence is not None:
            await self._drain_worker(presence.worker_id)
            drain.worker_id, drain.presence_at, drain.renewed_at = (
                presence.worker_id,
                presence.at,
                self._clock.monotonic(),
            )

    async def _drain_worker(self, worker_id: str) -> None:
        try:
            await self._rest.drain(worker_id, seconds=LEASE_SECONDS)
        except RestRefused as refusal:
            _log.info("worker_to_drain_is_gone", error_code=refusal.code, worker_id=worker_id)


def _is_idle(drain: Drain, presence: WorkerPresence | None) -> bool:
    if presence is None:
        return drain.worker_id is None
    # Compared for inequality, not order: both times are of the worker's clock, which may be set back.
    newer = presence.worker_id == drain.worker_id and presence.at != drain.presence_at
    return newer and presence.draining and not (presence.running or presence.reserved or presence.lapsed)
