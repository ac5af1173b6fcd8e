"""The work queue: a key comes once, is never worked on twice at the same time, and is never missed."""

from __future__ import annotations

import asyncio

import pytest

from agent_operator.agenttasks.workqueue import WorkQueue


async def test_a_key_that_is_asked_for_often_comes_once() -> None:
    work = WorkQueue()
    for key in ("a", "b", "a"):
        work.add(key)

    assert [await work.take(), await work.take()] == ["a", "b"]
    assert len(work) == 0


async def test_what_is_asked_for_during_the_work_comes_again_when_it_is_done() -> None:
    work = WorkQueue()
    work.add("a")
    await work.take()

    work.add("a")
    work.add("a")

    assert len(work) == 0
    work.done("a")
    assert await work.take() == "a"
    work.done("a")
    assert len(work) == 0


async def test_it_is_idle_when_nothing_is_due_or_being_worked_on() -> None:
    work = WorkQueue()
    seen = [work.idle]
    work.add("a")
    seen.append(work.idle)
    await work.take()
    seen.append(work.idle)
    work.done("a")
    assert [*seen, work.idle] == [True, False, False, True]


async def test_the_earlier_of_two_times_counts() -> None:
    work = WorkQueue()
    work.add_later("a", 0.01)
    work.add_later("a", 60)

    assert await asyncio.wait_for(work.take(), 5) == "a"


async def test_asking_now_replaces_a_later_time() -> None:
    work = WorkQueue()
    work.add_later("a", 0.01)
    work.add("a")
    assert await work.take() == "a"
    work.done("a")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work.take(), 0.05)


async def test_no_timer_fires_after_the_end() -> None:
    work = WorkQueue()
    work.add_later("a", 0.01)
    work.close()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work.take(), 0.05)
