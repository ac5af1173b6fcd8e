"""The breaker of one process without Redis; with it: tests/integration/outbound/test_breaker.py."""

from __future__ import annotations

import random
from typing import Literal

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
            LLMSettings(breaker_failures=3, breaker_reset_seconds=60),
            redis=None,
            metrics=self.metrics.outbound,
            clock=self.clock,
            rng=random.Random(1),
        )

    def gauge(self) -> float | None:
        return self.metrics.registry.get_sample_value("agents_circuit_breaker_state", {"name": NAME})

    async def report(self, outcome: Literal["failed", "succeeded"], times: int = 1) -> None:
        for _ in range(times):
            await getattr(self.breaker, outcome)(NAME)


@pytest.fixture
def one() -> Fixture:
    return Fixture()


async def test_it_opens_waits_probes_once_and_closes(one: Fixture) -> None:
    assert await one.breaker.allow(NAME)
    await one.report("failed", 3)
    assert not await one.breaker.allow(NAME)
    assert one.gauge() == 2
    one.clock.advance(59)
    assert not await one.breaker.allow(NAME)
    one.clock.advance(15)
    assert [await one.breaker.allow(NAME) for _ in range(3)] == [True, False, False]
    assert one.gauge() == 1
    await one.report("succeeded")
    assert [await one.breaker.allow(NAME) for _ in range(3)] == [True, True, True]
    assert one.gauge() == 0


async def test_the_cool_down_is_spread_by_up_to_a_fifth(one: Fixture) -> None:
    waits = set()
    for number in range(20):
        name = f"n{number}"
        for _ in range(3):
            await one.breaker.failed(name)
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


async def test_names_do_not_influence_each_other(one: Fixture) -> None:
    await one.report("failed", 3)
    assert await one.breaker.allow("other")
    assert dict(one.breaker.states()) == {NAME: "open", "other": "closed"}


async def test_an_abandoned_probe_is_given_to_the_next(one: Fixture) -> None:
    await one.report("failed", 3)
    one.clock.advance(73)
    assert await one.breaker.allow(NAME)
    await one.breaker.abandoned(NAME)
    assert await one.breaker.allow(NAME)
