"""What a worker's signs tell, and what is written down when its event loop stands still."""

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
    vitals.note_queue(listed=3, working=False)
    clock.advance(IDLE_SECONDS)
    vitals.loop_ticked()
    vitals.note_queue(listed=5, working=False)
    assert judge(vitals.signs()) is Condition.IDLE_BESIDE_QUEUE

    vitals.note_queue(listed=5, working=True)

    assert judge(vitals.signs()) is Condition.OK


def test_an_empty_queue_is_no_reason_to_worry() -> None:
    clock = ManualClock()
    vitals = Vitals(clock)
    vitals.note_queue(listed=1, working=False)
    vitals.note_queue(listed=0, working=False)
    clock.advance(IDLE_SECONDS)
    vitals.loop_ticked()

    assert judge(vitals.signs()) is Condition.OK


def test_the_hub_counts_from_its_first_turn() -> None:
    clock = ManualClock()
    vitals = Vitals(clock)
    clock.advance(STALL_SECONDS)
    vitals.loop_ticked()
    assert judge(vitals.signs()) is Condition.OK
    vitals.hub_ticked()
    clock.advance(STALL_SECONDS)
    vitals.loop_ticked()

    assert judge(vitals.signs()) is Condition.HUB_STALLED


def test_a_stall_is_written_down_once_with_the_place_where_the_loop_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.vitals.WATCH_SECONDS", 0.005)
    clock = ManualClock()
    vitals = Vitals(clock)
    over, looks = threading.Event(), threading.Semaphore(0)

    def stand_still() -> None:
        over.wait()

    def watched() -> int | None:
        looks.release()
        return loop.ident

    loop = threading.Thread(target=stand_still)
    loop.start()
    with capture_logs() as lines:
        watchdog = LoopWatchdog(vitals, watched=watched)
        clock.advance(DUMP_AFTER_SECONDS)
        assert looks.acquire(timeout=5)
        assert not looks.acquire(timeout=0.1)
        watchdog.close()
    over.set()
    loop.join()

    assert [line["event"] for line in lines] == ["event_loop_stalled"]
    assert any("stand_still" in place for place in lines[0]["stack"])


def test_the_stack_of_no_thread_is_empty() -> None:
    assert stack_of(None) == stack_of(-1) == []


def test_a_hub_that_waits_for_redis_is_given_time_from_the_last_silence_on() -> None:
    clock = ManualClock()
    vitals = Vitals(clock)
    vitals.excuse_hub()
    assert vitals.signs().hub_silent_seconds == 0
    vitals.hub_ticked()
    clock.advance(STALL_SECONDS)
    vitals.loop_ticked()
    assert judge(vitals.signs()) is Condition.HUB_STALLED

    vitals.excuse_hub()
    assert judge(vitals.signs()) is Condition.OK
    clock.advance(STALL_SECONDS)
    vitals.loop_ticked()
    assert judge(vitals.signs()) is Condition.HUB_STALLED
