"""Values that may be a few seconds old: when they are read again, and what callers get meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import StoreUnavailable
from app.services.remembered import Remembered
from tests.support.doubles import ManualClock


class Source:
    """A store that counts the reads, and that can be slow or down."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.begun = 0
        self.down = False
        self.reading, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def read(self, key: str) -> int:
        self.begun += 1
        self.reading.set()
        await self.go_on.wait()
        if self.down:
            raise StoreUnavailable("the store is switched off")
        self.reads.append(key)
        return len(self.reads)


async def test_callers_who_ask_at_once_share_one_reading() -> None:
    source, clock = Source(), ManualClock()
    values = Remembered(source.read, seconds=3, clock=clock, one_at_a_time=True)

    source.go_on.clear()
    asking = [asyncio.create_task(values.get("a")) for _ in range(10)]
    await source.reading.wait()
    source.go_on.set()
    assert await asyncio.gather(*asking) == [1] * 10
    assert await values.get("b") == 2
    clock.advance(3)
    assert await values.get("a") == 3
    assert source.reads == ["a", "b", "a"]


async def test_otherwise_an_outage_makes_callers_wait_side_by_side() -> None:
    source = Source()
    values = Remembered(source.read, seconds=3, clock=ManualClock())
    source.down = True
    source.go_on.clear()

    asking = [asyncio.create_task(values.get("a")) for _ in range(3)]
    await source.reading.wait()
    await asyncio.sleep(0)
    assert source.begun == 3
    source.go_on.set()

    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3


async def test_an_error_is_not_remembered() -> None:
    source = Source()
    values = Remembered(source.read, seconds=3, clock=ManualClock())
    source.down = True
    with pytest.raises(StoreUnavailable):
        await values.get("a")
    source.down = False

    assert await values.get("a") == 1


async def test_after_a_named_error_the_old_value_counts_once_more() -> None:
    source, clock = Source(), ManualClock()
    values = Remembered(source.read, seconds=3, clock=clock, stale_on_error=(StoreUnavailable,))
    values.put_stale("a", 0)
    source.down = True

    assert await values.get("a") == 0
    source.down = False
    assert await values.get("a") == 0
    assert source.begun == 1
    clock.advance(3)
    assert await values.get("a") == 1


async def test_while_one_caller_reads_the_others_get_the_old_value() -> None:
    source = Source()
    values = Remembered(source.read, seconds=3, clock=ManualClock(), stale_on_error=(StoreUnavailable,))
    values.put_stale("a", 0)
    source.go_on.clear()

    reading = asyncio.create_task(values.get("a"))
    await source.reading.wait()
    assert await values.get("a") == 0
    source.go_on.set()

    assert await reading == 1
    assert await values.get("a") == 1


async def test_a_reading_that_fails_late_leaves_the_younger_value() -> None:
    source, clock = Source(), ManualClock()
    values = Remembered(source.read, seconds=3, clock=clock, stale_on_error=(StoreUnavailable,))
    values.put_stale("a", 0)
    source.down = True
    source.go_on.clear()

    slow = asyncio.create_task(values.get("a"))
    await source.reading.wait()
    values.put("a", 7)
    source.go_on.set()

    assert await slow == 7


async def test_a_known_value_is_put_and_all_can_be_forgotten() -> None:
    source = Source()
    values = Remembered(source.read, seconds=3, clock=ManualClock())

    values.put("a", 7)
    assert await values.get("a") == 7
    values.forget_all()
    assert await values.get("a") == 1


async def test_the_key_read_longest_ago_makes_room() -> None:
    source = Source()
    values = Remembered(source.read, seconds=3, clock=ManualClock(), most_keys=2)

    for key in ("a", "b", "c", "b", "a"):
        await values.get(key)

    assert source.reads == ["a", "b", "c", "a"]
