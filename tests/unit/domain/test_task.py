"""The statuses of a task, and documents of other versions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.domain.task import TERMINAL, TRANSITIONS, Budget, TaskStatus
from app.domain.usage import NO_USAGE, Usage
from app.storage.documents import read_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_every_status_has_its_transitions_and_three_are_final() -> None:
    assert set(TRANSITIONS) == set(TaskStatus)
    assert {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED} == TERMINAL
    assert all(status.terminal == (status in TERMINAL) for status in TaskStatus)


def test_every_status_can_be_left_for_a_final_one() -> None:
    for status in set(TaskStatus) - TERMINAL:
        assert TRANSITIONS[status] & TERMINAL


def test_a_document_of_an_older_and_of_a_newer_version_is_read() -> None:
    oldest = {
        "_id": "t1",
        "tenant": "acme",
        "task": "x",
        "session_id": "s1",
        "request_id": "r1",
        "status": "queued",
        "rev": 1,
        **dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW),
    }
    newer = {**oldest, "mood": "new field", "lease": {"owner": "w", "claim_id": "c", "expires_at": NOW, "zone": "b"}}

    assert read_task(oldest).steps == {}
    task = read_task(newer)
    assert task.model_dump()["mood"] == "new field"
    assert task.lease is not None
    assert task.lease.model_dump()["zone"] == "b"


@pytest.mark.parametrize(
    ("budget", "covered"),
    [
        (Budget(), True),
        (Budget(max_tokens=10, max_cost_microusd=5), True),
        (Budget(max_tokens=9), False),
        (Budget(max_cost_microusd=4), False),
    ],
)
def test_a_budget_covers_what_is_within_all_its_limits(budget: Budget, covered: bool) -> None:
    assert budget.covers(Usage(input_tokens=4, output_tokens=6, cost_microusd=5)) is covered


def test_a_budget_in_money_covers_no_unknown_cost() -> None:
    unknown = Usage(input_tokens=1, cost_microusd=None)
    assert Budget(max_tokens=1).covers(unknown)
    assert not Budget(max_cost_microusd=10**9).covers(unknown)


def test_what_is_left_of_a_budget_is_never_negative() -> None:
    budget = Budget(max_tokens=10, max_cost_microusd=5)
    assert budget.after(Usage(input_tokens=4, cost_microusd=1)) == Budget(max_tokens=6, max_cost_microusd=4)
    assert budget.after(Usage(input_tokens=40, cost_microusd=10)) == Budget(max_tokens=0, max_cost_microusd=0)
    assert Budget().after(Usage(input_tokens=40)) == Budget()
    assert budget.after(NO_USAGE) == budget
