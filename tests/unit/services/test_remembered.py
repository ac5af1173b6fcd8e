"""Values that may be a few seconds old."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from app.errors import StoreUnavailable
from app.services.remembered import Remembered


class MovableClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, tz=UTC)

    def monotonic(self) -> float:
        return self.seconds


class Source:
    def __init__(self) -> None:
        self.reads: list[str] = []
        self.broken = False
        self.reading, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def read(self, key: str) -> int:
        self.reading.set()
        await self.go_on.wait()
        if self.broken:
            raise StoreUnavailable("away")
        self.reads.append(key)
        return len(self.reads)


async def test_those_who_ask_at_once_share_one_reading() -> None:
    source, clock = Source(), MovableClock()
    values = Remembered(source.read, seconds=3, clock=clock)

    source.go_on.clear()
    asking = [asyncio.create_task(values.get("a")) for _ in range(10)]
    await source.reading.wait()
    source.go_on.set()
    assert await asyncio.gather(*asking) == [1] * 10
    assert await values.get("b") == 2
    clock.seconds = 3
    assert await values.get("a") == 3
    assert source.reads == ["a", "b", "a"]


async def test_an_error_is_not_remembered() -> None:
    source = Source()
    values = Remembered(source.read, seconds=3, clock=MovableClock())
    source.broken = True
    with pytest.raises(StoreUnavailable):
        await values.get("a")
    source.broken = False

    assert await values.get("a") == 1
