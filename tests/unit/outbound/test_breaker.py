"""The breaker of one process without Redis; with it: tests/integration/outbound/test_breaker.py."""

from __future__ import annotations

import random

import pytest

from app.outbound.breaker import CircuitBreaker
from app.settings import LLMSettings
from app.telemetry.metrics import WorkerMetrics
from tests.support.doubles import ManualClock

NAME = "openai:gpt"


class Fixture:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = WorkerMetrics(version="test")
        self.breaker = CircuitBreaker(
            LLMSettings(breaker_failures=3, breaker_reset_seconds=60, retry_after_cap_seconds=45),
            redis=None,
            metrics=self.metrics.outbound,
            clock=self.clock,
            rng=random.Random(1),
        )

    def gauge(self) -> float | None:
        return self.metrics.registry.get_sample_value("agents_circuit_breaker_state", {"name": NAME})

    async def fail(self, *tasks: str) -> None:
        for task in tasks:
            await self.breaker.failed(NAME, by=task)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def allow_soon(self, by: str, *, through_pause: bool = False) -> bool:
        return await self.breaker.allow_soon(NAME, by=by, through_pause=through_pause, sleep=self.sleep)


@pytest.fixture
def one() -> Fixture:
    return Fixture()


async def test_it_opens_waits_probes_once_and_closes(one: Fixture) -> None:
    assert await one.breaker.allow(NAME)
    await one.fail("a", "b", "c")
    assert not await one.breaker.allow(NAME)
    assert one.gauge() == 2
    one.clock.advance(59)
    assert not await one.breaker.allow(NAME)
    one.clock.advance(15)
    assert [await one.breaker.allow(NAME) for _ in range(3)] == [True, False, False]
    assert one.gauge() == 1
    await one.breaker.succeeded(NAME)
    assert [await one.breaker.allow(NAME) for _ in range(3)] == [True, True, True]
    assert one.gauge() == 0


async def test_one_task_never_opens_it(one: Fixture) -> None:
    await one.fail(*["a"] * 50)
    assert await one.breaker.allow(NAME)
    assert dict(one.breaker.states()) == {NAME: "closed"}


async def test_the_cool_down_is_spread_by_up_to_a_fifth(one: Fixture) -> None:
    waits = set()
    for number in range(20):
        name = f"n{number}"
        for task in "abc":
            await one.breaker.failed(name, by=task)
        waits.add(round(one.breaker.blocked_seconds(name), 3))
    assert len(waits) > 15
    assert 60 <= min(waits) <= max(waits) <= 72


async def test_a_pause_is_shown_as_cooling_and_not_as_open(one: Fixture) -> None:
    await one.breaker.cool_down(NAME, 5)
    assert dict(one.breaker.states()) == {NAME: "cooling"}
    assert one.gauge() == 0
    assert one.breaker.blocked_seconds(NAME) == 5
    one.clock.advance(5)
    assert await one.breaker.allow(NAME)
    assert dict(one.breaker.states()) == {NAME: "closed"}


async def test_after_a_pause_one_call_goes_first_and_is_shown_as_closed(one: Fixture) -> None:
    await one.breaker.cool_down(NAME, 5)
    one.clock.advance(5)
    assert [await one.breaker.allow(NAME, by=task) for task in "abc"] == [True, False, False]
    assert dict(one.breaker.states()) == {NAME: "closed"}
    assert one.gauge() == 0
    await one.breaker.succeeded(NAME, by="a")
    assert [await one.breaker.allow(NAME, by=task) for task in "bc"] == [True, True]


@pytest.mark.parametrize("seconds", [46.0, 1e300, float("inf")])
async def test_a_pause_is_not_longer_than_the_cap(one: Fixture, seconds: float) -> None:
    await one.breaker.cool_down(NAME, seconds)
    assert one.breaker.blocked_seconds(NAME) == 45


async def test_a_refused_call_learns_how_long_to_wait(one: Fixture) -> None:
    await one.fail("a", "b", "c")
    assert one.breaker.refused_seconds(NAME) == one.breaker.blocked_seconds(NAME) >= 60
    one.clock.advance(73)
    assert await one.breaker.allow(NAME)
    waits = {one.breaker.refused_seconds(NAME) for _ in range(20)}
    assert len(waits) == 20
    assert 1 <= min(waits) < max(waits) <= 3


async def test_a_call_waits_for_the_probe_after_a_pause(one: Fixture) -> None:
    await one.breaker.cool_down(NAME, 5)
    one.clock.advance(5)
    assert await one.breaker.allow(NAME, by="a")
    began = one.clock.monotonic()
    assert await one.allow_soon("b")
    assert 1 <= one.clock.monotonic() - began <= 2


async def test_only_a_call_that_has_begun_waits_for_the_end_of_a_pause(one: Fixture) -> None:
    await one.breaker.cool_down(NAME, 4)
    assert not await one.allow_soon("a")
    assert one.breaker.blocked_seconds(NAME) == 4
    assert await one.allow_soon("a", through_pause=True)
    await one.breaker.cool_down(NAME, 20)
    assert not await one.allow_soon("b", through_pause=True)
    assert one.breaker.blocked_seconds(NAME) == pytest.approx(20)


async def test_nobody_waits_for_the_probe_of_an_open_breaker(one: Fixture) -> None:
    await one.fail("a", "b", "c")
    one.clock.advance(73)
    assert await one.breaker.allow(NAME)
    began = one.clock.monotonic()
    assert not await one.allow_soon("b", through_pause=True)
    assert one.clock.monotonic() == began


async def test_names_do_not_influence_each_other(one: Fixture) -> None:
    await one.fail("a", "b", "c")
    assert await one.breaker.allow("other")
    assert dict(one.breaker.states()) == {NAME: "open", "other": "closed"}


async def test_an_abandoned_probe_is_given_to_the_next(one: Fixture) -> None:
    await one.fail("a", "b", "c")
    one.clock.advance(73)
    assert await one.breaker.allow(NAME)
    await one.breaker.abandoned(NAME)
    assert await one.breaker.allow(NAME)
