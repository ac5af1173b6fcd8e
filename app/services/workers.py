"""Drain leases of workers, for the operator and for people: which worker takes no new tasks for a while."""

from __future__ import annotations

from app.errors import WorkerNotFound
from app.ports import DrainLeases, TaskQueue


class WorkerService:
    """The drain leases of workers that are present."""

    def __init__(self, queue: TaskQueue, drains: DrainLeases) -> None:
        self._queue = queue
        self._drains = drains

    async def drain(self, worker_id: str, *, seconds: int) -> None:
        """Keeps the worker from taking tasks for `seconds` from now; its running tasks go on. Renews a drain lease.

        Raises WorkerNotFound, BrokerUnavailable.
        """
        await self._require(worker_id)
        await self._drains.begin(worker_id, seconds=seconds)

    async def undrain(self, worker_id: str) -> None:
        """Lets the worker take tasks again. Safe to repeat. Raises WorkerNotFound, BrokerUnavailable."""
        await self._require(worker_id)
        await self._drains.end(worker_id)

    async def _require(self, worker_id: str) -> None:
        if all(presence.worker_id != worker_id for presence in await self._queue.presences()):
            raise WorkerNotFound(f"There is no worker {worker_id}; `GET /v1/system/metrics` lists the present ones.")
