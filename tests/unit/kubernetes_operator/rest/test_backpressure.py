"""The back-off from the API: the tenants that it holds back, for how long, and the probe that ends it."""

from __future__ import annotations

import pytest

from agent_operator.rest.backpressure import Backpressure
from agent_operator.rest.rest_client import RestUnavailable
from tests.support.doubles import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def unavailable(code: str = "INTAKE_PAUSED") -> RestUnavailable:
    return RestUnavailable(code, "Not now.", retry_seconds=10)


def held_back(backpressure: Backpressure, tenant: str) -> float | None:
    try:
        backpressure.check(tenant)
    except RestUnavailable as reason:
        return reason.retry_seconds
    return None


def test_trouble_of_the_api_holds_everybody_back(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable())
    clock.advance(4)

    assert held_back(backpressure, "one") == held_back(backpressure, "other") == 6


def test_a_full_queue_holds_its_own_tenant_back(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable("TENANT_QUEUE_FULL"))

    assert held_back(backpressure, "one") == 10
    assert held_back(backpressure, "other") is None


def test_one_submission_is_the_probe_and_the_others_wait_for_its_answer(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable())
    clock.advance(10)

    assert held_back(backpressure, "one") is None
    assert held_back(backpressure, "other") == 10

    backpressure.lift("one")
    assert held_back(backpressure, "other") is None


def test_being_held_back_does_not_shorten_the_wait_of_others(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable())
    clock.advance(9.9)
    assert held_back(backpressure, "one") == pytest.approx(0.1)
    clock.advance(0.1)

    passed = [tenant for tenant in ("a", "b", "c", "d") if held_back(backpressure, tenant) is None]

    assert passed == ["a"]
