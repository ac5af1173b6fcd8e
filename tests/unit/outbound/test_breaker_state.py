from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outbound import breaker_state
from app.outbound.breaker_state import CLOSED, BreakerRules, BreakerState, BreakerStatus, Event

THRESHOLD, RESET, PROBE, VERDICT, CAP = 3, 60.0, 30.0, 3.0, 60.0
RULES = BreakerRules(
    threshold=THRESHOLD, reset_seconds=RESET, probe_seconds=PROBE, verdict_seconds=VERDICT, longest_pause_seconds=CAP
)


def fail(status: BreakerStatus, now: float, by: str) -> BreakerStatus:
    return breaker_state.after_failure(status, now=now, rules=RULES, by=by)


def ask(status: BreakerStatus, now: float, by: str = "") -> tuple[bool, BreakerStatus]:
    return breaker_state.ask(status, now=now, rules=RULES, by=by)


def tripped(now: float = 0.0) -> BreakerStatus:
    status = CLOSED
    for number in range(THRESHOLD):
        status = fail(status, now, f"task-{number}")
    return status


def paused(until: float = 5.0) -> BreakerStatus:
    return breaker_state.after_rate_limit(CLOSED, now=0, seconds=until)


def test_it_opens_after_failures_of_different_tasks_in_a_row() -> None:
    assert fail(fail(CLOSED, 0, "a"), 1, "b").state(1) is BreakerState.CLOSED
    assert tripped(1).state(1) is BreakerState.OPEN


def test_a_task_counts_once_however_often_it_fails() -> None:
    status = fail(CLOSED, 0, "a")
    for moment in range(1, 500):
        status = fail(status, moment, "a")
    assert (status.failures, status.state(500)) == (1, BreakerState.CLOSED)


def test_a_task_that_fails_again_does_not_break_the_row_of_the_others() -> None:
    status = fail(fail(CLOSED, 0, "a"), RESET - 1, "a")
    assert fail(status, 2 * RESET - 2, "b").failures == 2


def test_a_success_between_starts_the_count_again() -> None:
    status = breaker_state.after_success(fail(fail(CLOSED, 0, "a"), 1, "b"), now=2)
    assert fail(status, 3, "a").failures == 1


def test_failures_far_apart_are_not_in_a_row() -> None:
    status = fail(fail(CLOSED, 0, "a"), 1, "b")
    assert fail(status, 1 + RESET, "c").failures == 1
    assert fail(status, 1 + RESET, "a").failures == 1


def test_failures_that_another_version_counted_count_too() -> None:
    status = BreakerStatus(failures=THRESHOLD - 1, failures_until=RESET)
    assert fail(status, 1, "a").state(1) is BreakerState.OPEN


def test_only_one_probe_passes_while_half_open() -> None:
    status = tripped(0)
    assert status.state(RESET) is BreakerState.HALF_OPEN
    first, status = ask(status, RESET)
    second, status = ask(status, RESET + 1)
    assert (first, second) == (True, False)


def test_a_lost_probe_is_replaced_after_its_time() -> None:
    _, status = ask(tripped(0), RESET)
    assert ask(status, RESET + PROBE)[0]


@pytest.mark.parametrize("stopped", [tripped(0), paused(RESET)], ids=["tripped", "paused"])
def test_an_abandoned_probe_goes_to_the_next_caller_and_only_its_own_call_can_abandon_it(
    stopped: BreakerStatus,
) -> None:
    _, status = ask(stopped, RESET, "a")
    assert not ask(breaker_state.after_abandoned_call(status, by="b"), RESET + 1)[0]
    assert ask(breaker_state.after_abandoned_call(status, by="a"), RESET + 1)[0]


def test_the_probe_decides() -> None:
    _, status = ask(tripped(0), RESET, "a")
    assert breaker_state.after_success(status, now=RESET + 1, by="a") == CLOSED
    assert fail(status, RESET + 1, "a").state(RESET + 1) is BreakerState.OPEN


def test_late_results_of_older_calls_change_nothing_while_open() -> None:
    status = tripped(0)
    assert breaker_state.after_success(status, now=1) == status
    assert fail(status, 1, "x") == status


def test_after_a_pause_one_probe_goes_and_its_success_opens_the_way_for_all() -> None:
    status = paused(5)
    assert status.state(4) is BreakerState.COOLING
    assert ask(status, 4)[0] is False
    assert status.state(5) is BreakerState.CLOSED
    allowed = []
    for by in ("a", "b", "c"):
        answer, status = ask(status, 5, by)
        allowed.append(answer)
    assert allowed == [True, False, False]
    assert breaker_state.after_success(status, now=6, by="a") == CLOSED


def test_a_call_that_began_before_the_pause_does_not_open_the_way() -> None:
    _, status = ask(paused(5), 5, "a")
    status = breaker_state.after_success(status, now=6, by="older")
    assert not ask(status, 6, "b")[0]


def test_another_429_of_the_probe_pauses_again() -> None:
    _, status = ask(paused(5), 5, "a")
    status = breaker_state.after_rate_limit(status, now=6, seconds=5)
    assert status.state(6) is BreakerState.COOLING
    assert ask(status, 11, "b")[0]


def test_a_failure_of_the_probe_counts_once_and_the_next_caller_is_the_probe() -> None:
    _, status = ask(paused(5), 5, "a")
    status = fail(status, 6, "a")
    assert status.failures == 1
    first, status = ask(status, 6, "b")
    assert (first, ask(status, 6, "c")[0]) == (True, False)
    status = fail(fail(status, 7, "b"), 8, "c")
    assert status.state(8) is BreakerState.OPEN


def test_a_probe_that_is_not_refused_for_some_seconds_opens_the_way_before_it_is_answered() -> None:
    _, status = ask(paused(5), 5, "a")
    assert not ask(status, 5 + VERDICT - 0.1, "b")[0]
    for by in ("b", "c"):
        allowed, status = ask(status, 5 + VERDICT, by)
        assert allowed


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    assert breaker_state.after_rate_limit(paused(50), now=1, seconds=1).blocked_until == 50


def test_a_rate_limit_does_not_close_an_open_breaker() -> None:
    assert breaker_state.after_rate_limit(tripped(0), now=1, seconds=1).state(1) is BreakerState.OPEN


def test_no_pause_is_longer_than_the_cap_whoever_stored_it() -> None:
    _, asked = breaker_state.apply(CLOSED, "rate_limited", now=0, rules=RULES, pause_seconds=9e9)
    assert asked.blocked_until == CAP
    stored = replace(paused(), blocked_until=9e9)
    allowed, status = breaker_state.apply(stored, "ask", now=10, rules=RULES)
    assert (allowed, status.blocked_until) == (False, 10 + CAP)
    assert breaker_state.apply(status, "ask", now=10 + CAP, rules=RULES)[0]


@given(
    events=st.lists(
        st.tuples(st.sampled_from(get_args(Event)), st.sampled_from("abcde"), st.floats(0, 100)), max_size=60
    )
)
def test_it_never_opens_without_enough_tasks_and_always_lets_a_call_through_in_the_end(
    events: list[tuple[Event, str, float]],
) -> None:
    status, now, failed_by = CLOSED, 0.0, set()
    for event, by, passed in events:
        now += passed
        failed_by |= {by} if event == "failed" else set()
        _, status = breaker_state.apply(status, event, now=now, rules=RULES, by=by, pause_seconds=5)
        if len(failed_by) < THRESHOLD:
            assert not status.state(now).tripped
        assert len(status.failed_by) <= THRESHOLD
        assert not (status.tripped and status.paused)
    assert ask(status, now + RESET + PROBE)[0]
