"""The messages of other processes that this worker listens to: cancelled tasks and changed drain leases.

Redis keeps no message for a listener that is not connected. So each of them only speeds up what is also found without
it: the heartbeat reads cancel flags, and the drain lease is checked every two seconds.
"""

from __future__ import annotations

from redis.asyncio import Redis

from app.broker.channels import CANCEL_CHANNEL, DRAIN_CHANNEL
from app.broker.connections import listen
from worker.draining import Draining
from worker.leases import Interruption, LeaseKeeper


async def listen_for_cancels(listening: Redis, leases: LeaseKeeper) -> None:
    """Interrupts the runs of tasks that are cancelled; until cancelled itself."""
    async for task_id in listen(listening, CANCEL_CHANNEL):
        leases.interrupt_task(task_id, Interruption.CANCELLED)


async def listen_for_drains(listening: Redis, draining: Draining) -> None:
    """Passes on which worker's drain lease has changed; until cancelled."""
    async for worker_id in listen(listening, DRAIN_CHANNEL):
        draining.on_lease_changed(worker_id)
