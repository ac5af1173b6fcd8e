"""What waits to be looked at: each key once, however often it is asked for, and never by two at the same time.

A key that is asked for while it is being worked on comes again afterwards, so nothing that happens meanwhile is missed.
"""

from __future__ import annotations

import asyncio


class WorkQueue:
    """Keys in the order in which they became due."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._worked_on: set[str] = set()
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """Those that are due."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing is due, and nothing is being worked on."""
        return not self._waiting and not self._worked_on

    def add(self, key: str) -> None:
        """Due now; a later time for which it was set no longer counts."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._worked_on:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_later(self, key: str, seconds: float) -> None:
        """Due in so many seconds, unless it is due before that."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if key in self._waiting or (timer is not None and timer.when() <= loop.time() + seconds):
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self.add, key)

    async def take(self) -> str:
        """The next one, which `done` must follow."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._worked_on.add(key)
        return key

    def done(self, key: str) -> None:
        self._worked_on.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """No timer fires any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
