"""Redis commands that a caller can do without: each answers within a quarter of a second, or the caller goes on alone.

Circuit breakers, provider limits and rate limits are shared through Redis, and each has its own answer for the time
without it. A slow Redis must not slow a task noticeably, and an unreachable one must not cost every call the full wait.
Nothing here raises an error of Redis. Use `redis_command` if the reply is indispensable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.ports import Clock
from app.telemetry.logs import get_logger

# One such wait is far below the seconds that a model call takes, so a task does not notice it.
PATIENCE_SECONDS = 0.25
# No command is sent for this long after a failure. Otherwise each call of each task would wait out the patience.
PAUSE_SECONDS = 2.0

Reply = TypeVar("Reply")
_log = get_logger(__name__)


async def reply_in_time(
    command: Awaitable[Reply], *, event: str, patience_seconds: float | None = None, **fields: str
) -> Reply | None:
    """Awaits the command. Returns None, and logs `event` with `fields`, if it fails or takes too long."""
    try:
        # asyncio.timeout and not wait_for, which on Python 3.11 may swallow a cancellation of the task.
        async with asyncio.timeout(PATIENCE_SECONDS if patience_seconds is None else patience_seconds):
            return await command
    except (RedisError, OSError, TimeoutError) as error:
        _log.warning(event, error_class=type(error).__name__, **fields)
        return None


class SharedScript:
    """A Lua script over state that processes share. `redis` None: there is never a reply.

    `event` is the name of the log line for a failure. Belongs to one event loop, as its client does.
    """

    def __init__(
        self,
        redis: Redis | None,
        source: str,
        *,
        event: str,
        clock: Clock,
        patience_seconds: float | None = None,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._script = redis.register_script(source) if redis is not None else None
        self._event = event
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._paused_until = float("-inf")

    async def run(self, *, keys: Sequence[str], args: Sequence[str | int], **fields: str) -> Sequence[int] | None:
        """Returns the numbers that the script gives; None if there is no reply in time, or during a pause.

        `fields` go into the log line of a failure.
        """
        if self._script is None or self._clock.monotonic() < self._paused_until:
            return None
        command = self._script(keys=keys, args=args)
        reply = await reply_in_time(command, event=self._event, patience_seconds=self._patience_seconds, **fields)
        if reply is None:
            self._paused_until = self._clock.monotonic() + self._pause_seconds
        return reply
