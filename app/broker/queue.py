"""The queue of tickets, as the services see it: Celery sends, Redis is read directly.

Sending blocks, so it happens in one thread of its own, by name: the worker's code is never imported here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from redis.asyncio import Redis

from app.broker.celery_app import PROCESS_TASK
from app.broker.channels import CANCEL_CHANNEL, DONE_CHANNEL, KICK_CHANNEL, SNAPSHOT_KEY
from app.broker.errors import broker_errors
from app.broker.presence import read_presences
from app.domain.identity import TaskId
from app.errors import BrokerUnavailable
from app.ports import Ticket, WorkerPresence

SNAPSHOT_TTL_SECONDS = 60
RECONNECT_SECONDS = 1.0


class CeleryTaskQueue:
    """Implements `app.ports.TaskQueue`. The Redis client must be made for this event loop, with `decode_responses`."""

    def __init__(self, celery: Celery, redis: Redis, *, queue: str) -> None:
        self._celery = celery
        self._redis = redis
        self._queue = queue
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tickets")

    async def publish(self, tickets: Sequence[Ticket]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._sender, self._send, tickets)

    def _send(self, tickets: Sequence[Ticket]) -> None:
        with broker_errors("publish a ticket"), self._celery.producer_pool.acquire(block=True) as producer:
            for ticket in tickets:
                headers = {"request_id": ticket.request_id, "traceparent": ticket.traceparent}
                self._celery.send_task(
                    PROCESS_TASK,
                    args=(ticket.task_id,),
                    task_id=f"{ticket.task_id}:{ticket.dispatch_seq}",
                    queue=self._queue,
                    headers=headers,
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                )

    async def length(self) -> int:
        with broker_errors("tell the queue's length"):
            return int(await self._redis.execute_command("LLEN", self._queue))

    async def listed(self) -> frozenset[str]:
        with broker_errors("list the queue"):
            messages = await self._redis.execute_command("LRANGE", self._queue, 0, -1)
        return frozenset(json.loads(message)["headers"]["id"].partition(":")[0] for message in messages)

    async def presences(self) -> Sequence[WorkerPresence]:
        return await read_presences(self._redis)

    async def announce_cancel(self, task_id: TaskId) -> None:
        with broker_errors("announce a cancel"):
            await self._redis.publish(CANCEL_CHANNEL, task_id)

    async def kick(self) -> None:
        with broker_errors("wake the dispatcher"):
            await self._redis.publish(KICK_CHANNEL, "")

    async def kicks(self) -> AsyncIterator[str]:
        async for text in self._messages(KICK_CHANNEL):
            yield text

    async def finished(self) -> AsyncIterator[str]:
        async for text in self._messages(DONE_CHANNEL):
            yield text

    async def _messages(self, channel: str) -> AsyncIterator[str]:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    with broker_errors("subscribe"):
                        await pubsub.subscribe(channel)
                    while True:
                        with broker_errors("listen"):
                            message = await pubsub.get_message(timeout=None)
                        if message is not None:
                            yield str(message["data"])
            except BrokerUnavailable:
                await asyncio.sleep(RECONNECT_SECONDS)

    async def publish_snapshot(self, snapshot: Mapping[str, str | int | float]) -> None:
        with broker_errors("publish the snapshot"):
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(SNAPSHOT_KEY, mapping=dict(snapshot))
                pipeline.expire(SNAPSHOT_KEY, SNAPSHOT_TTL_SECONDS)
                await pipeline.execute()

    async def snapshot(self) -> Mapping[str, str]:
        with broker_errors("read the snapshot"):
            return dict(await self._redis.execute_command("HGETALL", SNAPSHOT_KEY))

    async def ping(self) -> None:
        with broker_errors("answer a ping"):
            await self._redis.execute_command("PING")

    async def close(self) -> None:
        """Sends what is being sent, then lets go of the connections."""
        self._sender.shutdown(wait=True)
        await self._redis.aclose()
        self._celery.close()
