"""The presences: what each worker publishes about itself every two seconds. One expires ten seconds after its write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from app.broker.channels import PRESENCE_TTL_SECONDS, WORKERS_KEY, worker_key
from app.broker.connections import redis_command
from app.domain.worker_state import WorkerPresence
from app.telemetry.logs import get_logger

_log = get_logger(__name__)
_PRESENCE = TypeAdapter(WorkerPresence)


async def publish_presence(redis: Redis, presence: WorkerPresence) -> None:
    """Writes the worker's presence. Raises BrokerUnavailable."""
    async with redis_command("publish a presence"), redis.pipeline(transaction=False) as pipeline:
        pipeline.set(worker_key(presence.worker_id), _PRESENCE.dump_json(presence), ex=PRESENCE_TTL_SECONDS)
        # A set of ids, because finding the keys themselves would need a scan of all of Redis.
        pipeline.sadd(WORKERS_KEY, presence.worker_id)
        await pipeline.execute()


async def withdraw_presence(redis: Redis, worker_id: str) -> None:
    """Removes the presence of a worker that stops. Raises BrokerUnavailable."""
    async with redis_command("withdraw a presence"), redis.pipeline(transaction=False) as pipeline:
        pipeline.delete(worker_key(worker_id))
        pipeline.srem(WORKERS_KEY, worker_id)
        await pipeline.execute()


async def read_presences(redis: Redis) -> Sequence[WorkerPresence]:
    """Reads the presences that have not expired. Raises BrokerUnavailable.

    It writes nothing: a Redis that refuses writes can still be read, and tickets are sent by what is read here.
    """
    async with redis_command("read presences"):
        values = await _read_values(redis)
    found = [_readable(worker_id, value) for worker_id, value in values.items()]
    return [presence for presence in found if presence is not None]


async def forget_silent_workers(redis: Redis) -> None:
    """Removes the ids of workers whose presence has expired. Raises BrokerUnavailable."""
    async with redis_command("forget silent workers"):
        silent = [worker_id for worker_id, value in (await _read_values(redis)).items() if value is None]
        if silent:
            await redis.execute_command("SREM", WORKERS_KEY, *silent)


async def _read_values(redis: Redis) -> Mapping[str, str | None]:
    """Reads what each worker last published, None if that has expired, by the worker's id."""
    worker_ids = sorted(await redis.execute_command("SMEMBERS", WORKERS_KEY))
    if not worker_ids:
        return {}
    values = await redis.mget([worker_key(worker_id) for worker_id in worker_ids])
    return dict(zip(worker_ids, values, strict=True))


def _readable(worker_id: str, value: str | None) -> WorkerPresence | None:
    """Parses a presence. Returns None if it has expired, or if another version wrote what this one cannot read."""
    if value is None:
        return None
    try:
        return _PRESENCE.validate_json(value)
    except ValidationError as error:
        _log.warning("presence_not_understood", worker_id=worker_id, problems=error.error_count())
        return None
