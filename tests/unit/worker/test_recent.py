from __future__ import annotations

from app.domain.usage import AttemptStatus, ModelAttempt
from app.domain.worker_state import RecentFigures
from tests.support.doubles import ManualClock
from worker.recent import CALL_WINDOW_SECONDS, SERVICE_SAMPLES, SERVICE_WINDOW_SECONDS, RecentWork


def attempt(status: AttemptStatus) -> ModelAttempt:
    return ModelAttempt(provider="openai", model="m", status=status, started_at=ManualClock().now())


def test_calls_are_counted_and_those_refused_for_their_rate() -> None:
    recent = RecentWork(ManualClock())
    for status in (AttemptStatus.OK, AttemptStatus.RATE_LIMITED, AttemptStatus.SKIPPED):
        recent.note_attempt(attempt(status))

    assert recent.figures() == RecentFigures(model_calls=2, rate_limited_calls=1)


def test_figures_expire() -> None:
    clock = ManualClock()
    recent = RecentWork(clock)
    recent.note_attempt(attempt(AttemptStatus.RATE_LIMITED))
    recent.note_service(2.0)

    clock.advance(CALL_WINDOW_SECONDS + 1)
    assert recent.figures() == RecentFigures(service_seconds=(2.0,))
    clock.advance(SERVICE_WINDOW_SECONDS)
    assert recent.figures() == RecentFigures()


def test_the_last_tasks_count() -> None:
    recent = RecentWork(ManualClock())
    for number in range(SERVICE_SAMPLES + 1):
        recent.note_service(float(number))

    times = recent.figures().service_seconds
    assert (len(times), times[0], times[-1]) == (SERVICE_SAMPLES, 1.0, float(SERVICE_SAMPLES))
