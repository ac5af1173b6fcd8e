"""Presence: what each worker says of itself every two seconds, gone ten seconds after its last word."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter
from redis.asyncio import Redis

from app.broker.channels import PRESENCE_TTL_SECONDS, WORKERS_KEY, worker_key
from app.broker.errors import broker_errors
from app.ports import WorkerPresence

_PRESENCE = TypeAdapter(WorkerPresence)


async def announce_presence(redis: Redis, presence: WorkerPresence) -> None:
    """Writes the worker's presence. Raises BrokerUnavailable."""
    with broker_errors("announce a worker"):
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.set(worker_key(presence.worker_id), _PRESENCE.dump_json(presence), ex=PRESENCE_TTL_SECONDS)
            pipeline.sadd(WORKERS_KEY, presence.worker_id)
            await pipeline.execute()


async def withdraw_presence(redis: Redis, worker_id: str) -> None:
    """Removes the presence of a worker that stops. Raises BrokerUnavailable."""
    with broker_errors("withdraw a worker"):
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.delete(worker_key(worker_id))
            pipeline.srem(WORKERS_KEY, worker_id)
            await pipeline.execute()


async def read_presences(redis: Redis) -> Sequence[WorkerPresence]:
    """The workers that have spoken lately; names of those that have not are forgotten. Raises BrokerUnavailable."""
    with broker_errors("read presences"):
        worker_ids = sorted(await _text_members(redis))
        if not worker_ids:
            return []
        values = await redis.mget([worker_key(worker_id) for worker_id in worker_ids])
        silent = [worker_id for worker_id, value in zip(worker_ids, values, strict=True) if value is None]
        if silent:
            await redis.execute_command("SREM", WORKERS_KEY, *silent)
    return [_PRESENCE.validate_json(value) for value in values if value is not None]


async def _text_members(redis: Redis) -> set[str]:
    members = await redis.execute_command("SMEMBERS", WORKERS_KEY)
    return {member.decode() if isinstance(member, bytes) else member for member in members}
