"""The decision after a failure: tried again or not, when, and how often."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.task import Requeue, Task, TaskStatus
from app.errors import BudgetExceeded, LLMRateLimited, LLMUnavailable, UnknownTaskType
from app.settings import ExecutionSettings
from tests.support.tasks import new_task
from worker.outcome import REFUSED_SPREAD_SECONDS, GiveUp, TryAgain, after_failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = ExecutionSettings(retry_base_seconds=1, retry_cap_seconds=60)


def task(**fields: Any) -> Task:
    times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
    return Task(**{**new_task().model_dump(), "status": TaskStatus.PROCESSING, "rev": 1, **times, **fields})


@pytest.mark.parametrize("failure", [UnknownTaskType("nobody can"), BudgetExceeded("gone")])
def test_a_permanent_failure_ends_the_task(failure: UnknownTaskType) -> None:
    verdict = after_failure(failure, task(), SETTINGS, fraction=0.5)

    assert isinstance(verdict, GiveUp)
    assert verdict.error.type == failure.code


def test_a_transient_failure_is_retried_until_the_attempts_are_gone() -> None:
    failure = LLMUnavailable("down")

    assert isinstance(after_failure(failure, task(retries=1, max_attempts=3), SETTINGS, fraction=0), TryAgain)
    assert isinstance(after_failure(failure, task(retries=2, max_attempts=3), SETTINGS, fraction=0), GiveUp)


def test_a_rate_limit_never_uses_up_the_attempts_and_keeps_the_providers_wish() -> None:
    verdict = after_failure(
        LLMRateLimited("429", retry_after_seconds=90), task(postponed=50, max_attempts=1), SETTINGS, fraction=0
    )

    assert isinstance(verdict, TryAgain)
    assert (verdict.reason, verdict.delay_seconds) == (Requeue.POSTPONED, 90)


def test_a_refusal_of_a_breaker_uses_up_no_attempt() -> None:
    refused = LLMUnavailable("openai:gpt-4.1: breaker_open", retry_after_seconds=40, counted=False)
    verdict = after_failure(refused, task(retries=2, max_attempts=1), SETTINGS, fraction=0)

    assert isinstance(verdict, TryAgain)
    assert (verdict.reason, verdict.delay_seconds) == (Requeue.POSTPONED, 40)


@given(wait=st.floats(0.5, 4_000), postponed=st.integers(0, 3_000), fraction=st.floats(0, 1))
def test_a_task_that_a_breaker_refuses_comes_back_soon_after_it_may(
    wait: float, postponed: int, fraction: float
) -> None:
    refused = LLMUnavailable("breaker_open", retry_after_seconds=wait, counted=False)
    verdict = after_failure(refused, task(postponed=postponed), SETTINGS, fraction=fraction)

    assert isinstance(verdict, TryAgain)
    assert wait <= verdict.delay_seconds <= wait + REFUSED_SPREAD_SECONDS


@given(retries=st.integers(0, 90), fraction=st.floats(0, 1))
def test_the_backoff_grows_with_the_retries_and_never_passes_its_cap(retries: int, fraction: float) -> None:
    verdict = after_failure(
        LLMUnavailable("down"), task(retries=retries, max_attempts=100), SETTINGS, fraction=fraction
    )

    assert isinstance(verdict, TryAgain)
    assert verdict.delay_seconds == pytest.approx(fraction * min(60, 2 ** min(retries, 16)))
