"""The dialects of all models that the workers ask, learned by one and known to all.

They are kept in Redis for a day: a server may be replaced by a better one. Without Redis each process learns alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from app.broker.scripts import reply_in_time
from app.llm.dialect import FULL, Dialect, Feature
from app.ports import Clock
from app.telemetry.logs import get_logger

KEY_PREFIX = "ao:dialect:"
KEPT_SECONDS = 86_400
# How long a process goes on without looking whether another one has learned more.
_FRESH_SECONDS = 60.0
_EVENT = "dialect_without_redis"
_log = get_logger(__name__)


@dataclass
class _Page:
    dialect: Dialect
    read_at: float


class DialectBook:
    """The dialects by the name of the hop. `redis` None keeps them in memory. Belongs to one event loop."""

    def __init__(self, *, redis: Redis | None, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._pages: dict[str, _Page] = {}

    async def of(self, name: str) -> Dialect:
        """Returns what is known of the model now; all features, as long as nothing is."""
        page, now = self._pages.get(name), self._clock.monotonic()
        if page is not None and now - page.read_at < _FRESH_SECONDS:
            return page.dialect
        stored = await self._read(name)
        known = page.dialect if page is not None and stored is None else stored
        self._pages[name] = _Page(known or FULL, now)
        return known or FULL

    async def learn(self, name: str, dialect: Dialect) -> None:
        """Keeps a dialect that a refusal has taught, and shares it."""
        self._pages[name] = _Page(dialect, self._clock.monotonic())
        _log.info("dialect_learned", model=name, refused=sorted(dialect.refused), limit=dialect.max_output_tokens)
        if self._redis is not None:
            value = json.dumps({"refused": sorted(dialect.refused), "max_output_tokens": dialect.max_output_tokens})
            await reply_in_time(self._redis.set(KEY_PREFIX + name, value, ex=KEPT_SECONDS), event=_EVENT, model=name)

    async def _read(self, name: str) -> Dialect | None:
        """Reads the shared dialect. Returns None without Redis; the full one if nothing is stored."""
        if self._redis is None:
            return None
        value = await reply_in_time(self._redis.mget([KEY_PREFIX + name]), event=_EVENT, model=name)
        return _parse(value[0]) if value is not None else None


def _parse(value: Any) -> Dialect:
    if value is None:
        return FULL
    stored = json.loads(value)
    known = {feature.value for feature in Feature}
    # A worker of another version may have learned of a feature that this one does not use.
    refused = frozenset(Feature(name) for name in stored["refused"] if name in known)
    return Dialect(refused, stored["max_output_tokens"])
