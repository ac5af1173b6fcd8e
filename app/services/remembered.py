"""Values that are dear to read and may be a few seconds old; those who ask at once wait for one reading."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from app.ports import Clock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_KEYS_KEPT = 256


class Remembered(Generic[Key, Value]):
    """`read` gives the value of a key; its errors are not remembered."""

    def __init__(self, read: Callable[[Key], Awaitable[Value]], *, seconds: float, clock: Clock) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._values: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._reading = asyncio.Lock()

    async def get(self, key: Key) -> Value:
        async with self._reading:
            known = self._values.get(key)
            if known is not None and self._clock.monotonic() - known[1] < self._seconds:
                return known[0]
            value = await self._read(key)
            self._values[key] = (value, self._clock.monotonic())
            self._values.move_to_end(key)
            if len(self._values) > _KEYS_KEPT:
                self._values.popitem(last=False)
            return value
