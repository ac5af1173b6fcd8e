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
    backpressure.begin("one", unavailable(), failed_before=None)
    clock.advance(4)

    assert held_back(backpressure, "one") == held_back(backpressure, "other") == 6


def test_a_full_queue_holds_its_own_tenant_back(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable("TENANT_QUEUE_FULL"), failed_before=None)

    assert held_back(backpressure, "one") == 10
    assert held_back(backpressure, "other") is None


def test_one_submission_is_the_probe_and_the_others_wait_for_its_answer(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable(), failed_before=None)
    clock.advance(10)

    assert held_back(backpressure, "one") is None
    assert held_back(backpressure, "other") == 10

    backpressure.lift("one")
    assert held_back(backpressure, "other") is None


def test_being_held_back_does_not_shorten_the_wait_of_others(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable(), failed_before=None)
    clock.advance(9.9)
    assert held_back(backpressure, "one") == pytest.approx(0.1)
    clock.advance(0.1)

    passed = [tenant for tenant in ("a", "b", "c", "d") if held_back(backpressure, tenant) is None]

    assert passed == ["a"]


def test_a_fault_holds_everybody_back_for_longer_each_time_until_one_passes(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    pauses = []
    for _ in range(7):
        assert backpressure.begin("one", unavailable("STORE_UNAVAILABLE"), failed_before=None)
        pauses.append(held_back(backpressure, "other"))
        clock.advance(10)

    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]

    backpressure.lift("other")
    backpressure.begin("one", unavailable("STORE_UNAVAILABLE"), failed_before=None)
    assert held_back(backpressure, "other") == 0.5


def test_an_object_that_fails_while_others_pass_holds_nobody_back(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    backpressure.begin("one", unavailable("STORE_UNAVAILABLE"), failed_before=None)
    failed_at = clock.monotonic()
    clock.advance(1)
    backpressure.lift("other")
    clock.advance(1)

    assert not backpressure.begin("one", unavailable("STORE_UNAVAILABLE"), failed_before=failed_at)
    assert held_back(backpressure, "other") is None


def test_a_probe_that_is_at_fault_itself_ends_the_back_off(clock: ManualClock) -> None:
    backpressure = Backpressure(clock)
    failed_at = clock.monotonic()
    clock.advance(1)
    backpressure.lift("other")
    clock.advance(1)
    backpressure.begin("another", unavailable("STORE_UNAVAILABLE"), failed_before=None)
    clock.advance(0.5)
    assert held_back(backpressure, "one") is None

    backpressure.begin("one", unavailable("STORE_UNAVAILABLE"), failed_before=failed_at)

    assert held_back(backpressure, "other") is None
