"""The API's clients of Redis: the queue, the drain leases and the rate limits, with their connections."""

from __future__ import annotations

from app.broker.celery_config import build_celery
from app.broker.connections import connect_for_commands, connect_for_listening
from app.broker.drain_leases import RedisDrainLeases
from app.broker.queue import CeleryTaskQueue
from app.broker.rate_limit import RedisRateLimiter
from app.ports import Clock
from app.settings import Settings


class Broker:
    """The clients. They belong to the event loop that they were made in, and connect on first use."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        url = settings.broker.redis_url
        celery = build_celery(settings.broker, settings.execution, publisher=True)
        self._commands = connect_for_commands(url)
        self._tickets = connect_for_commands(settings.broker.tickets_url)
        self._listening = connect_for_listening(url)
        self.queue = CeleryTaskQueue(
            celery, self._commands, self._tickets, self._listening, queue=settings.broker.queue
        )
        self.drains = RedisDrainLeases(self._commands)
        self.rate_limiter = RedisRateLimiter(self._commands, clock)

    async def close(self) -> None:
        await self.queue.close()
        await self._listening.aclose()
        await self._tickets.aclose()
        await self._commands.aclose()
