from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.outbound import breaker_state
from app.outbound.breaker_state import CLOSED, BreakerState, BreakerStatus

THRESHOLD, RESET, PROBE = 3, 60.0, 30.0


def fail(status: BreakerStatus, now: float) -> BreakerStatus:
    return breaker_state.after_failure(status, now=now, threshold=THRESHOLD, reset_seconds=RESET)


def tripped(now: float = 0.0) -> BreakerStatus:
    status = CLOSED
    for _ in range(THRESHOLD):
        status = fail(status, now)
    return status


def test_it_opens_after_failures_in_a_row() -> None:
    assert fail(fail(CLOSED, 0), 1).state(1) is BreakerState.CLOSED
    assert tripped(1).state(1) is BreakerState.OPEN


def test_a_success_between_starts_the_count_again() -> None:
    status = breaker_state.after_success(fail(fail(CLOSED, 0), 1), now=2)
    assert fail(status, 3).failures == 1


def test_failures_far_apart_are_not_in_a_row() -> None:
    status = fail(fail(CLOSED, 0), 1)
    assert fail(status, 1 + RESET).state(1 + RESET) is BreakerState.CLOSED


def test_only_one_probe_passes_while_half_open() -> None:
    status = tripped(0)
    assert status.state(RESET) is BreakerState.HALF_OPEN
    first, status = breaker_state.ask(status, now=RESET, probe_seconds=PROBE)
    second, status = breaker_state.ask(status, now=RESET + 1, probe_seconds=PROBE)
    assert (first, second) == (True, False)


def test_a_lost_probe_is_replaced_after_its_time() -> None:
    _, status = breaker_state.ask(tripped(0), now=RESET, probe_seconds=PROBE)
    again, _ = breaker_state.ask(status, now=RESET + PROBE, probe_seconds=PROBE)
    assert again


def test_an_abandoned_probe_goes_to_the_next_caller() -> None:
    _, status = breaker_state.ask(tripped(0), now=RESET, probe_seconds=PROBE)
    allowed, _ = breaker_state.ask(breaker_state.after_abandoned_call(status), now=RESET + 1, probe_seconds=PROBE)
    assert allowed


def test_the_probe_decides() -> None:
    _, status = breaker_state.ask(tripped(0), now=RESET, probe_seconds=PROBE)
    assert breaker_state.after_success(status, now=RESET + 1) == CLOSED
    assert fail(status, RESET + 1).state(RESET + 1) is BreakerState.OPEN


def test_late_results_of_older_calls_change_nothing_while_open() -> None:
    status = tripped(0)
    assert breaker_state.after_success(status, now=1) == status
    assert fail(status, 1) == status


def test_a_rate_limit_pauses_and_needs_no_probe() -> None:
    status = breaker_state.after_rate_limit(CLOSED, now=0, seconds=5)
    assert status.state(4) is BreakerState.COOLING
    assert breaker_state.ask(status, now=4, probe_seconds=PROBE)[0] is False
    for _ in range(3):
        allowed, status = breaker_state.ask(status, now=5, probe_seconds=PROBE)
        assert allowed


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    status = breaker_state.after_rate_limit(CLOSED, now=0, seconds=50)
    assert breaker_state.after_rate_limit(status, now=1, seconds=1).blocked_until == 50


def test_a_rate_limit_does_not_close_an_open_breaker() -> None:
    assert breaker_state.after_rate_limit(tripped(0), now=1, seconds=1).state(1) is BreakerState.OPEN


@given(st.lists(st.tuples(st.sampled_from(["ask", "ok", "fail", "429"]), st.floats(0, 100)), max_size=60))
def test_it_never_opens_without_enough_failures_and_always_lets_a_call_through_in_the_end(
    events: list[tuple[str, float]],
) -> None:
    status, now, failures = CLOSED, 0.0, 0
    for event, passed in events:
        now += passed
        match event:
            case "ask":
                _, status = breaker_state.ask(status, now=now, probe_seconds=PROBE)
            case "ok":
                status = breaker_state.after_success(status, now=now)
            case "fail":
                failures += 1
                status = fail(status, now)
            case _:
                status = breaker_state.after_rate_limit(status, now=now, seconds=5)
        if failures < THRESHOLD:
            assert status.state(now) in (BreakerState.CLOSED, BreakerState.COOLING)
    assert breaker_state.ask(status, now=now + RESET + PROBE, probe_seconds=PROBE)[0]
