"""The status of an AgentTask: the fields that people and `kubectl wait` read, and no change without a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_operator.agenttasks import status as s
from agent_operator.agenttasks.status import Condition, Moment, Phase
from agent_operator.rest.task_state import TaskDigest, TaskProblem, TaskRouting, TaskState, TaskUsage
from app.domain.task import TERMINAL, TaskStatus

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MOMENT = Moment(NOW, generation=1)
LATER = Moment(NOW + timedelta(minutes=5), generation=2)


def task(status: TaskStatus = TaskStatus.QUEUED, **fields: Any) -> TaskState:
    return TaskState(task_id="t1", tenant="team", rev=1, status=status, queued_at=NOW, **fields)


states = st.builds(
    task,
    st.sampled_from(TaskStatus),
    attempts=st.integers(0, 5),
    error=st.none() | st.just(TaskProblem(type="BUDGET_EXCEEDED", message="Too dear.")),
    result=st.none() | st.just(TaskDigest(summary="Done.", size_bytes=5, sha256="ab")),
)
steps = st.lists(
    st.one_of(
        states.map(lambda state: ("mirrored", state)),
        st.sampled_from(
            [("submitted", None), ("suspended", None), ("held_up", None), ("refused", None), ("lost", None)]
        ),
    ),
    max_size=8,
)


def play(status: dict[str, Any], step: tuple[str, Any], moment: Moment) -> dict[str, Any]:
    kind, state = step
    if kind == "mirrored":
        return s.mirrored(status, state, moment)
    if kind == "submitted":
        return s.submitted(status, "t1", moment)
    if kind in ("held_up", "refused"):
        changed: dict[str, Any] = getattr(s, kind)(status, moment, reason="INTAKE_PAUSED", message="Not now.")
    else:
        changed = getattr(s, kind)(status, moment)
    return changed


@given(history=steps, last=states)
def test_doing_the_same_again_later_changes_nothing_but_the_generation(
    history: list[tuple[str, Any]], last: TaskState
) -> None:
    status: dict[str, Any] = {}
    for step in history:
        status = play(status, step, MOMENT)

    once = s.mirrored(status, last, MOMENT)
    again = s.mirrored(once, last, Moment(LATER.now, generation=1))

    assert again == once


@given(end=st.sampled_from(sorted(TERMINAL)), after=states)
def test_what_has_ended_stays_as_it_is(end: TaskStatus, after: TaskState) -> None:
    ended = s.mirrored({}, task(end), MOMENT)

    assert s.mirrored(ended, after, LATER) == ended


@given(history=steps)
def test_there_is_one_condition_of_a_kind_and_each_is_whole(history: list[tuple[str, Any]]) -> None:
    status: dict[str, Any] = {}
    for step in history:
        status = play(status, step, MOMENT)
        conditions = status["conditions"]
        kinds = [found["type"] for found in conditions]
        assert len(set(kinds)) == len(kinds)
        assert all(found["reason"] and found["status"] in ("True", "False", "Unknown") for found in conditions)
        assert status["phase"] in set(Phase)


def test_a_completed_task_shows_agent_cost_result_and_routing() -> None:
    done = task(
        TaskStatus.COMPLETED,
        selected_agent="ContentAgent",
        attempts=1,
        started_at=NOW,
        completed_at=NOW + timedelta(seconds=41),
        usage=TaskUsage(input_tokens=2_000, output_tokens=181, total_tokens=2_181, cost_usd=0.0143),
        routing=TaskRouting(agent_name="ContentAgent", confidence=0.934, reasoning="It asks for an article."),
        result=TaskDigest(summary="x" * 2_000, size_bytes=4_000_000, sha256="ab"),
        trace_id="0" * 32,
    )

    status = s.mirrored(s.submitted({}, "t1", MOMENT), done, LATER)

    assert (status["phase"], status["agent"], status["taskId"], status["attempts"]) == (
        "Completed",
        "ContentAgent",
        "t1",
        1,
    )
    assert status["usage"] == {"inputTokens": 2000, "outputTokens": 181, "totalTokens": 2181, "costUSD": "0.0143"}
    assert status["completionTime"] == "2026-01-01T12:00:41Z"
    assert status["routing"] == {"reasoning": "It asks for an article.", "confidence": "0.93"}
    assert len(status["result"]["preview"]) == 1024
    assert {name: status["result"][name] for name in ("sizeBytes", "sha256", "ref")} == {
        "sizeBytes": 4_000_000,
        "sha256": "ab",
        "ref": "/v1/tasks/t1",
    }
    succeeded = s.condition_of(status, Condition.SUCCEEDED)
    assert succeeded is not None
    assert (succeeded["status"], succeeded["reason"]) == ("True", "Completed")


@pytest.mark.parametrize(
    ("state", "value", "reason"),
    [
        (task(), "Unknown", "Queued"),
        (task(attempts=2), "Unknown", "Requeued"),
        (task(TaskStatus.PROCESSING, attempts=1), "Unknown", "Processing"),
        (task(TaskStatus.CANCELLED), "False", "Cancelled"),
        (task(TaskStatus.FAILED, error=TaskProblem(type="BUDGET_EXCEEDED", message="m")), "False", "BudgetExceeded"),
        (task(TaskStatus.FAILED), "False", "Failed"),
    ],
)
def test_succeeded_shows_the_state_of_the_task(state: TaskState, value: str, reason: str) -> None:
    succeeded = s.condition_of(s.mirrored({}, state, MOMENT), Condition.SUCCEEDED)

    assert succeeded is not None
    assert (succeeded["status"], succeeded["reason"]) == (value, reason)


def test_a_conditions_time_is_that_of_its_last_change() -> None:
    waiting = s.held_up({}, MOMENT, reason="INTAKE_PAUSED", message="Paused.")
    still = s.held_up(waiting, LATER, reason="TENANT_QUEUE_FULL", message="Full.")
    accepted = s.submitted(still, "t1", LATER)

    def accepted_condition(status: dict[str, Any]) -> tuple[str, str, str]:
        found = s.condition_of(status, Condition.ACCEPTED)
        assert found is not None
        return found["status"], found["reason"], found["lastTransitionTime"]

    assert accepted_condition(waiting) == ("Unknown", "IntakePaused", "2026-01-01T12:00:00Z")
    assert accepted_condition(still) == ("Unknown", "TenantQueueFull", "2026-01-01T12:00:00Z")
    assert accepted_condition(accepted) == ("True", "Submitted", "2026-01-01T12:05:00Z")


def test_a_task_that_was_held_back_and_resumed_shows_it() -> None:
    held = s.suspended({}, MOMENT)
    resumed = s.submitted(held, "t1", LATER)

    assert (held["phase"], resumed["phase"]) == ("Suspended", "Queued")
    suspended = s.condition_of(resumed, Condition.SUSPENDED)
    assert suspended is not None
    assert (suspended["status"], suspended["reason"]) == ("False", "Resumed")
    assert s.condition_of(s.submitted({}, "t1", MOMENT), Condition.SUSPENDED) is None


@pytest.mark.parametrize(
    "after",
    [
        lambda held: s.mirrored(held, task(TaskStatus.COMPLETED), LATER),
        lambda held: s.refused(held, LATER, reason="UNKNOWN_AGENT", message="There is no such agent."),
        lambda held: s.cancelled_unsubmitted(held, LATER),
        lambda held: s.lost(held, LATER),
    ],
    ids=["ended", "refused", "cancelled", "lost"],
)
def test_no_ended_task_is_shown_as_held_back(after: Callable[[s.Status], s.Status]) -> None:
    suspended = s.condition_of(after(s.suspended({}, MOMENT)), Condition.SUSPENDED)
    assert suspended is not None
    assert (suspended["status"], suspended["reason"]) == ("False", "Resumed")


def test_a_lost_task_fails_and_keeps_its_id() -> None:
    status = s.lost(s.submitted({}, "t1", MOMENT), LATER)

    succeeded = s.condition_of(status, Condition.SUCCEEDED)
    assert succeeded is not None
    assert (status["phase"], status["taskId"], succeeded["reason"]) == ("Failed", "t1", "TaskLost")


@pytest.mark.parametrize(
    ("code", "reason"),
    [("BUDGET_EXCEEDED", "BudgetExceeded"), ("HTTP_500", "Http500"), ("", "Error"), ("ä", "Error"), ("aB_c", "ABC")],
)
def test_codes_become_reasons(code: str, reason: str) -> None:
    assert s.camel(code) == reason
