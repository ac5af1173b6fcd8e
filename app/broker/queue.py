"""The queue of tickets for the services: Celery sends, Redis is read directly.

Tickets name the Celery task by a string: the worker's code is never imported here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from kombu.exceptions import OperationalError
from redis.asyncio import Redis

from app.broker.celery_config import PROCESS_TASK
from app.broker.channels import (
    ARRIVALS_KEY,
    CANCEL_CHANNEL,
    DONE_CHANNEL,
    KICK_CHANNEL,
    SNAPSHOT_KEY,
    SNAPSHOT_TTL_SECONDS,
)
from app.broker.connections import check_writes, listen, redis_command
from app.broker.error_mapping import broker_errors
from app.broker.worker_presence import forget_silent_workers, read_presences
from app.domain.identity import TaskId, Tenant
from app.domain.ticket import Ticket
from app.domain.worker_state import WorkerPresence


class CeleryTaskQueue:
    """Implements `app.ports.TaskQueue`. `tickets` is the Redis of Celery. The owner of the clients closes them."""

    def __init__(self, celery: Celery, redis: Redis, tickets: Redis, listening: Redis, *, queue: str) -> None:
        self._celery = celery
        self._redis = redis
        self._tickets = tickets
        self._listening = listening
        self._queue = queue
        # Celery's sending blocks, so it has a thread of its own: a slow Redis must not stop the event loop.
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tickets")

    async def publish(self, tickets: Sequence[Ticket]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._sender, self._send, tickets)

    def _send(self, tickets: Sequence[Ticket]) -> None:
        pool = self._celery.producer_pool
        with broker_errors("publish a ticket", OperationalError), pool.acquire(block=True) as producer:
            for ticket in tickets:
                headers = {"request_id": ticket.request_id, "traceparent": ticket.traceparent}
                self._celery.send_task(
                    PROCESS_TASK,
                    args=(ticket.task_id,),
                    # The number is for diagnosis only. A claim never depends on it: tickets may overtake each other.
                    task_id=f"{ticket.task_id}:{ticket.dispatch_seq}",
                    queue=self._queue,
                    headers=headers,
                    producer=producer,
                    retry=False,  # the dispatcher finds a ticket that was not sent, and sends it again
                    ignore_result=True,
                )

    async def length(self) -> int:
        async with redis_command("count the tickets"):
            return int(await self._tickets.execute_command("LLEN", self._queue))

    async def listed(self) -> frozenset[str]:
        async with redis_command("list the tickets"):
            messages = await self._tickets.execute_command("LRANGE", self._queue, 0, -1)
        return frozenset(filter(None, map(_task_of, messages)))

    async def presences(self) -> Sequence[WorkerPresence]:
        return await read_presences(self._redis)

    async def forget_silent_workers(self) -> None:
        await forget_silent_workers(self._redis)

    async def publish_cancel(self, task_id: TaskId) -> None:
        async with redis_command("publish a cancel"):
            await self._redis.publish(CANCEL_CHANNEL, task_id)

    async def kick(self, tenant: Tenant) -> None:
        async with redis_command("wake the dispatcher"):
            await self._redis.publish(KICK_CHANNEL, tenant)

    def kicks(self) -> AsyncIterator[str]:
        return listen(self._listening, KICK_CHANNEL)

    def finished(self) -> AsyncIterator[str]:
        return listen(self._listening, DONE_CHANNEL)

    async def add_arrivals(self, number: int) -> None:
        async with redis_command("count accepted tasks"):
            await self._redis.execute_command("INCRBY", ARRIVALS_KEY, number)

    async def arrivals(self) -> int:
        async with redis_command("read the count of accepted tasks"):
            return int(await self._redis.execute_command("GET", ARRIVALS_KEY) or 0)

    async def publish_snapshot(self, snapshot: Mapping[str, str | int | float]) -> None:
        async with redis_command("publish the snapshot"), self._redis.pipeline(transaction=True) as pipeline:
            # In one transaction, so that no reader sees the fields of two snapshots.
            pipeline.hset(SNAPSHOT_KEY, mapping=dict(snapshot))
            pipeline.expire(SNAPSHOT_KEY, SNAPSHOT_TTL_SECONDS)
            await pipeline.execute()

    async def snapshot(self) -> Mapping[str, str]:
        async with redis_command("read the snapshot"):
            return dict(await self._redis.execute_command("HGETALL", SNAPSHOT_KEY))

    async def check(self) -> None:
        await check_writes(self._redis)

    async def close(self) -> None:
        """Waits for tickets that are being sent, then closes the connections of Celery."""
        self._sender.shutdown(wait=True)
        self._celery.close()


def _task_of(message: str) -> str | None:
    """Reads the task's id from a ticket. Returns None for an entry of the list that is no ticket of ours."""
    try:
        return str(json.loads(message)["headers"]["id"]).partition(":")[0]
    except (ValueError, KeyError, TypeError):
        return None
