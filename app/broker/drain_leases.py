"""Drain leases: a key in Redis that keeps one worker from taking tasks, and that expires by itself.

Whoever asked for it may die: the worker goes on working when the lease has run out.
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
            await self._redis.set(drain_key(worker_id), "1", ex=seconds)
            await self._redis.publish(DRAIN_CHANNEL, worker_id)

    async def end(self, worker_id: str) -> None:
        async with redis_command("end a worker's drain"):
            await self._redis.delete(drain_key(worker_id))
            await self._redis.publish(DRAIN_CHANNEL, worker_id)

    async def holds(self, worker_id: str) -> bool:
        async with redis_command("look for a drain lease"):
            return bool(await self._redis.exists(drain_key(worker_id)))
