"""The health of workers and providers, as presences and breakers show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from app.domain.worker_state import WorkerPresence
from app.services.dependency_health import HealthStatus, judge_providers, judge_workers


def presence(*, draining: bool = False, breakers: Mapping[str, str] | None = None) -> WorkerPresence:
    return WorkerPresence(
        worker_id="w", name="w", slots=1, running=(), reserved=(), draining=draining, loop_lag_ms=0, version="1",
        at=datetime(2026, 11, 21, tzinfo=UTC), breakers=breakers or {},
    )  # fmt: skip


def test_the_worst_state_of_all_workers_counts() -> None:
    presences = [
        presence(breakers={"a": "closed", "b": "open", "c": "half_open"}),
        presence(breakers={"a": "closed", "b": "closed", "c": "closed", "d": "closed"}),
    ]

    assert {name: health.status for name, health in judge_providers(presences).items()} == {
        "a": HealthStatus.UP,
        "b": HealthStatus.DOWN,
        "c": HealthStatus.DEGRADED,
        "d": HealthStatus.UP,
    }


def test_a_state_of_a_newer_worker_is_ignored() -> None:
    assert judge_providers([presence(breakers={"a": "resting"})]) == {}


def test_workers_that_drain_do_not_count() -> None:
    assert judge_workers([presence(draining=True)]).status is HealthStatus.DOWN
    assert judge_workers([presence(draining=True), presence()]).status is HealthStatus.UP
    assert judge_workers([]).status is HealthStatus.DOWN


def test_without_redis_nothing_is_known_of_workers() -> None:
    assert judge_workers(None).status is HealthStatus.UNKNOWN
    assert judge_providers(None) == {}
