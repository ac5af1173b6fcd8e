"""A worker's condition follows from its signs, and a blocked event loop is logged with its stack."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from tests.support.doubles import ManualClock
from worker.vitals import (
    DUMP_AFTER_SECONDS,
    IDLE_SECONDS,
    STALL_SECONDS,
    Condition,
    LoopWatchdog,
    Signs,
    Vitals,
    judge,
    stack_of,
)


@pytest.mark.parametrize(
    ("signs", "condition"),
    [
        (Signs(0, 0, 0), Condition.OK),
        (Signs(STALL_SECONDS, 0, 0), Condition.LOOP_STALLED),
        (Signs(0, STALL_SECONDS, 0), Condition.HUB_STALLED),
        (Signs(0, 0, IDLE_SECONDS), Condition.IDLE_BESIDE_QUEUE),
        (Signs(0, 0, 0, store_away=True), Condition.STORE_AWAY),
        (Signs(0, 0, IDLE_SECONDS, store_away=True), Condition.IDLE_BESIDE_QUEUE),
        (Signs(STALL_SECONDS - 1, STALL_SECONDS - 1, IDLE_SECONDS - 1), Condition.OK),
    ],
)
def test_signs_have_their_meaning(signs: Signs, condition: Condition) -> None:
    assert judge(signs) is condition


def test_a_worker_that_takes_nothing_beside_a_full_queue_is_ill() -> None:
    clock = ManualClock()
    vitals = Vitals(clock)
    vitals.record_queue(listed=3, working=False)
    clock.advance(IDLE_SECONDS)
    vitals.record_loop_tick()
    vitals.record_queue(listed=5, working=False)
    assert judge(vitals.signs()) is Condition.IDLE_BESIDE_QUEUE

    vitals.record_queue(listed=5, working=True)

    assert judge(vitals.signs()) is Condition.OK


def test_an_empty_queue_is_no_reason_to_worry() -> None:
    clock = ManualClock()
    vitals = Vitals(clock)
    vitals.record_queue(listed=1, working=False)
    vitals.record_queue(listed=0, working=False)
    clock.advance(IDLE_SECONDS)
    vitals.record_loop_tick()

    assert judge(vitals.signs()) is Condition.OK


def test_the_hub_counts_from_its_first_turn() -> None:
    clock = ManualClock()
    vitals = Vitals(clock)
    clock.advance(STALL_SECONDS)
    vitals.record_loop_tick()
    assert judge(vitals.signs()) is Condition.OK
    vitals.record_hub_tick()
    clock.advance(STALL_SECONDS)
    vitals.record_loop_tick()

    assert judge(vitals.signs()) is Condition.HUB_STALLED


def test_a_stall_is_logged_once_with_the_place_where_the_loop_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.vitals.WATCH_SECONDS", 0.005)
    clock = ManualClock()
    vitals = Vitals(clock)
    over, checks = threading.Event(), threading.Semaphore(0)

    def block_forever() -> None:
        over.wait()

    def watched() -> int | None:
        checks.release()
        return loop.ident

    loop = threading.Thread(target=block_forever)
    loop.start()
    with capture_logs() as lines:
        watchdog = LoopWatchdog(vitals, watched=watched)
        clock.advance(DUMP_AFTER_SECONDS)
        assert checks.acquire(timeout=5)
        assert not checks.acquire(timeout=0.1)
        watchdog.close()
    over.set()
    loop.join()

    assert [line["event"] for line in lines] == ["event_loop_stalled"]
    assert any("block_forever" in place for place in lines[0]["stack"])


def test_the_stack_of_no_thread_is_empty() -> None:
    assert stack_of(None) == stack_of(-1) == []


def test_a_hub_that_waits_for_redis_is_silent_only_from_the_last_failed_check_on() -> None:
    clock = ManualClock()
    vitals = Vitals(clock)
    vitals.excuse_hub()
    assert vitals.signs().hub_silent_seconds == 0
    vitals.record_hub_tick()
    clock.advance(STALL_SECONDS)
    vitals.record_loop_tick()
    assert judge(vitals.signs()) is Condition.HUB_STALLED

    vitals.excuse_hub()
    assert judge(vitals.signs()) is Condition.OK
    clock.advance(STALL_SECONDS)
    vitals.record_loop_tick()
    assert judge(vitals.signs()) is Condition.HUB_STALLED
