"""The dialects of all models that the workers ask, learned by one and known to all.

They are kept in Redis for a day: a server may be replaced by a better one. Without Redis each process learns alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from app.broker.scripts import reply_in_time
from app.llm.server_dialect import FULL, Dialect, Feature
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
    """The dialects by the name of the hop. `redis` None keeps them in memory. Belongs to one event loop.

    `addresses` are those that the hops are asked at: another server under the same name speaks another dialect.
    """

    def __init__(self, *, redis: Redis | None, clock: Clock, addresses: Sequence[str] = ()) -> None:
        digest = hashlib.sha256("\n".join(addresses).encode()).hexdigest()[:8]
        self._prefix = f"{KEY_PREFIX}{digest}:"
        self._redis = redis
        self._clock = clock
        self._pages: dict[str, _Page] = {}

    async def of(self, name: str) -> Dialect:
        """Returns what is known of the model now; all features, as long as nothing is."""
        page, now = self._pages.get(name), self._clock.monotonic()
        if page is not None and now - page.read_at < _FRESH_SECONDS:
            return page.dialect
        stored = await self.read(name)
        known = page.dialect if page is not None and stored is None else stored
        self._pages[name] = _Page(known or FULL, now)
        return known or FULL

    async def learn(self, name: str, lesson: Dialect) -> None:
        """Adds what a refusal has taught to what is known, and shares it."""
        known = self._pages[name].dialect if name in self._pages else FULL
        stored = await self.read(name)
        dialect = known.joined(lesson).joined(stored or FULL)
        self._pages[name] = _Page(dialect, self._clock.monotonic())
        _log.info("dialect_learned", model=name, refused=sorted(dialect.refused), limit=dialect.max_output_tokens)
        if self._redis is not None:
            value = json.dumps({"refused": sorted(dialect.refused), "max_output_tokens": dialect.max_output_tokens})
            await reply_in_time(self._redis.set(self._prefix + name, value, ex=KEPT_SECONDS), event=_EVENT, model=name)

    async def read(self, name: str) -> Dialect | None:
        """Reads the shared dialect. Returns None without Redis; the full one if nothing is stored."""
        if self._redis is None:
            return None
        value = await reply_in_time(self._redis.mget([self._prefix + name]), event=_EVENT, model=name)
        return _parse(value[0]) if value is not None else None


def _parse(value: Any) -> Dialect:
    if value is None:
        return FULL
    known = {feature.value for feature in Feature}
    try:
        stored = json.loads(value)
        # A worker of another version may have learned of a feature that this one does not use.
        return Dialect(
            frozenset(Feature(name) for name in stored["refused"] if name in known), stored["max_output_tokens"]
        )
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("dialect_unreadable", error_class=type(error).__name__)
        return FULL
