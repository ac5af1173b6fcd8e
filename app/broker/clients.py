"""The API's clients of Redis: one for the queue, which may wait long, and one for limits, which may not."""

from __future__ import annotations

from redis.asyncio import Redis

from app.broker.celery_app import build_celery
from app.broker.queue import CeleryTaskQueue
from app.broker.rate_limit import RedisRateLimiter
from app.ports import Clock
from app.settings import Settings

_CONNECT_SECONDS = 1.0


class Broker:
    """Belongs to the event loop it was made in; connects on first use."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        url = settings.broker.redis_url.get_secret_value()
        celery = build_celery(settings.broker, settings.execution, publisher=True)
        # Subscriptions wait without end, so only the connecting is limited; callers bring their own timeouts.
        waiting: Redis = Redis.from_url(
            url, decode_responses=True, socket_connect_timeout=_CONNECT_SECONDS, health_check_interval=5
        )
        self.queue = CeleryTaskQueue(celery, waiting, queue=settings.broker.queue)
        self._quick: Redis = Redis.from_url(
            url, socket_timeout=_CONNECT_SECONDS, socket_connect_timeout=_CONNECT_SECONDS
        )
        self.rate_limiter = RedisRateLimiter(self._quick, clock)

    async def close(self) -> None:
        await self.queue.close()
        await self._quick.aclose()
