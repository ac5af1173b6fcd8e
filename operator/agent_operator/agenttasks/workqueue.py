"""A queue of keys that need work: each key once, however often it was added, and never in the hands of two workers.

A key that is added while it is being reconciled comes again afterwards, so that an event in between is not missed.
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
        """Counts the keys that are due."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """True if no key is due and none is being worked on."""
        return not self._waiting and not self._worked_on

    def add(self, key: str) -> None:
        """Makes the key due now, and drops a later time that was set for it."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._worked_on:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_later(self, key: str, seconds: float) -> None:
        """Makes the key due in `seconds`, unless it is due before that."""
        # The loop's clock, not an injected one: the timers of the loop go by it.
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if key in self._waiting or (timer is not None and timer.when() <= loop.time() + seconds):
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self.add, key)

    async def take(self) -> str:
        """Waits for the next key that is due. The caller must call `done` with it."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._worked_on.add(key)
        return key

    def done(self, key: str) -> None:
        """Ends the work on the key; makes it due again if it was added meanwhile."""
        self._worked_on.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Cancels all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
