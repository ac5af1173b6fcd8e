"""The drain leases: a key in Redis keeps one worker from taking tasks, and expires by itself.

The process that asked for a lease may die: the worker takes tasks again when the lease has expired.
"""

from __future__ import annotations

from redis.asyncio import Redis

from app.broker.channels import DRAIN_CHANNEL, drain_key
from app.broker.connections import redis_command


class RedisDrainLeases:
    """Implements `app.ports.DrainLeases`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def begin(self, worker_id: str, *, seconds: int) -> None:
        async with redis_command("drain a worker"):
            # The key first, because a worker that gets the message reads it. A lost message delays the worker only: it
            # reads its key every two seconds anyway.
            await self._redis.set(drain_key(worker_id), "1", ex=seconds)
            await self._redis.publish(DRAIN_CHANNEL, worker_id)

    async def end(self, worker_id: str) -> None:
        async with redis_command("end a worker's drain"):
            await self._redis.delete(drain_key(worker_id))
            await self._redis.publish(DRAIN_CHANNEL, worker_id)

    async def holds(self, worker_id: str) -> bool:
        async with redis_command("read a drain lease"):
            return bool(await self._redis.exists(drain_key(worker_id)))
