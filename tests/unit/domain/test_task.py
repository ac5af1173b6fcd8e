"""The statuses of a task, and documents of other versions."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.domain.task import TERMINAL, TRANSITIONS, TaskStatus
from app.domain.usage import Usage
from app.storage.documents import read_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
costs = st.none() | st.integers(0, 10**12)
usages = st.builds(Usage, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9), cost_microusd=costs)


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


@given(first=usages, second=usages)
def test_sums_of_usage_are_exact_and_an_unknown_cost_stays_unknown(first: Usage, second: Usage) -> None:
    total = first + second

    assert total.total_tokens == first.total_tokens + second.total_tokens
    if first.cost_microusd is None or second.cost_microusd is None:
        assert total.cost_microusd is None
    else:
        assert total.cost_microusd == first.cost_microusd + second.cost_microusd
