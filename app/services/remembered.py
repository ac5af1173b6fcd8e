"""Values that are expensive to read and may be a few seconds old.

A `Remembered` is the one place that decides whether a value is fresh. The services choose what their callers do while a
value is read again: every caller reads by itself, or waits for the one that reads, or goes on with the old value.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from app.ports import Clock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """The values of keys, each read again with `read` once it is older than `seconds`.

    Errors of `read` reach the caller and are not remembered. With `one_at_a_time` callers wait for the reading under
    way and share its value. `stale_on_error` names the errors after which an old value counts for another `seconds`;
    other callers also get the old value while one of them reads. At most `most_keys` are kept: the one read longest ago
    goes first.
    """

    def __init__(
        self,
        read: Callable[[Key], Awaitable[Value]],
        *,
        seconds: float,
        clock: Clock,
        one_at_a_time: bool = False,
        stale_on_error: tuple[type[Exception], ...] = (),
        most_keys: int = 256,
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._stale_on_error = stale_on_error
        self._most_keys = most_keys
        self._values: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        # One lock for all keys, because the readings of several keys load the same server. Callers without it read side
        # by side: during an outage each of them waits for a timeout, and in a queue those timeouts would add up.
        self._turn: AbstractAsyncContextManager[Any] = asyncio.Lock() if one_at_a_time else contextlib.nullcontext()

    async def get(self, key: Key) -> Value:
        """Returns the value, after reading it again if it is too old. Raises the errors of `read`."""
        async with self._turn:
            known = self._values.get(key)
            now = self._clock.monotonic()
            if known is not None and now - known[1] < self._seconds:
                return known[0]
            if known is None or not self._stale_on_error:
                return await self.read_again(key)
            # Before the reading, not after it: meanwhile other callers must find the old value fresh.
            self._values[key] = (known[0], now)
            try:
                return await self.read_again(key)
            except self._stale_on_error:
                # A slow reading may fail after a younger one has succeeded: then the younger value counts.
                return self._values.get(key, known)[0]

    async def read_again(self, key: Key) -> Value:
        """Reads the value, however young the remembered one is. Raises the errors of `read`."""
        value = await self._read(key)
        self.put(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remembers a value that the caller knows without reading it."""
        self._keep(key, value, self._clock.monotonic())

    def put_stale(self, key: Key, value: Value) -> None:
        """Remembers a value to fall back to; the next `get` reads all the same."""
        self._keep(key, value, -math.inf)

    def forget_all(self) -> None:
        """Forgets all values, so that each is read again."""
        self._values.clear()

    def _keep(self, key: Key, value: Value, at: float) -> None:
        self._values[key] = (value, at)
        self._values.move_to_end(key)
        if len(self._values) > self._most_keys:
            self._values.popitem(last=False)
