"""What stands in an AgentTask's status. Pure: where the task is and what was there before come in, a status comes out.

A condition's time changes with its status alone, so that asking twice writes nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from agent_operator.rest.rest_client import TaskState
from app.domain.task import TERMINAL, TaskStatus

PREVIEW_CHARACTERS = 1_024
REASONING_CHARACTERS = 2_048
MESSAGE_CHARACTERS = 4_096
Status = Mapping[str, Any]


class Phase(StrEnum):
    PENDING = "Pending"
    QUEUED = "Queued"
    PROCESSING = "Processing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL_PHASES


class Condition(StrEnum):
    ACCEPTED = "Accepted"
    SUCCEEDED = "Succeeded"
    SUSPENDED = "Suspended"


PHASES = {
    TaskStatus.QUEUED: Phase.QUEUED,
    TaskStatus.PROCESSING: Phase.PROCESSING,
    TaskStatus.COMPLETED: Phase.COMPLETED,
    TaskStatus.FAILED: Phase.FAILED,
    TaskStatus.CANCELLED: Phase.CANCELLED,
}
TERMINAL_PHASES = frozenset(PHASES[status] for status in TERMINAL)


@dataclass(frozen=True)
class Moment:
    """When a status is written, and for which generation of the spec."""

    now: datetime
    generation: int


def phase_of(status: Status) -> Phase | None:
    """None where the operator has not seen the object yet."""
    named = status.get("phase")
    return None if named is None else Phase(named)


def condition_of(status: Status, kind: Condition) -> Mapping[str, Any] | None:
    return next((found for found in status.get("conditions") or () if found.get("type") == kind), None)


def submitted(status: Status, task_id: str, moment: Moment) -> dict[str, Any]:
    """The API has taken the task; whatever stands in the status already is newer."""
    fresh = status.get("taskId") is None
    return {
        **status,
        "observedGeneration": moment.generation,
        "taskId": task_id,
        **({"phase": Phase.QUEUED.value} if fresh else {}),
        "conditions": _with(
            status,
            moment,
            (Condition.ACCEPTED, "True", "Submitted", f"The API took the task as {task_id}."),
            *([(Condition.SUCCEEDED, "Unknown", "Queued", "The task waits for a worker.")] if fresh else []),
            *_resumed(status),
        ),
    }


def _resumed(status: Status) -> list[tuple[Condition, str, str, str]]:
    if condition_of(status, Condition.SUSPENDED) is None:
        return []
    return [(Condition.SUSPENDED, "False", "Resumed", "The task is no longer held back.")]


def suspended(status: Status, moment: Moment) -> dict[str, Any]:
    """The task is held back by its spec."""
    return {
        **status,
        "observedGeneration": moment.generation,
        "phase": Phase.SUSPENDED.value,
        "conditions": _with(
            status,
            moment,
            (
                Condition.SUSPENDED,
                "True",
                "Suspended",
                "spec.suspend holds the task back; set it to false to submit it.",
            ),
            (Condition.SUCCEEDED, "Unknown", "Suspended", "The task is not submitted yet."),
        ),
    }


def held_up(status: Status, moment: Moment, *, reason: str, message: str) -> dict[str, Any]:
    """The API cannot take the task now; it is tried again."""
    return {
        **status,
        "observedGeneration": moment.generation,
        "phase": Phase.PENDING.value,
        "conditions": _with(
            status,
            moment,
            (Condition.ACCEPTED, "Unknown", camel(reason), message),
            (Condition.SUCCEEDED, "Unknown", "Pending", "The task is not submitted yet."),
            *_resumed(status),
        ),
    }


def refused(status: Status, moment: Moment, *, reason: str, message: str) -> dict[str, Any]:
    """The API will never take the task as it is."""
    return {
        **status,
        "observedGeneration": moment.generation,
        "phase": Phase.FAILED.value,
        "completionTime": _time(moment.now),
        "error": {"type": reason, "message": message[:MESSAGE_CHARACTERS]},
        "conditions": _with(
            status,
            moment,
            (Condition.ACCEPTED, "False", camel(reason), message),
            (Condition.SUCCEEDED, "False", camel(reason), message),
            *_resumed(status),
        ),
    }


def cancelled_unsubmitted(status: Status, moment: Moment) -> dict[str, Any]:
    """The task was cancelled before the API knew of it."""
    message = "The task was cancelled before it was submitted."
    return {
        **status,
        "observedGeneration": moment.generation,
        "phase": Phase.CANCELLED.value,
        "completionTime": _time(moment.now),
        "conditions": _with(
            status,
            moment,
            (Condition.ACCEPTED, "False", "Cancelled", message),
            (Condition.SUCCEEDED, "False", "Cancelled", message),
            *_resumed(status),
        ),
    }


def lost(status: Status, moment: Moment) -> dict[str, Any]:
    """The API no longer knows a task that it had taken. It is never submitted again: it may have run."""
    message = f"The API no longer knows task {status.get('taskId')}. To run it again create a new AgentTask."
    return {
        **status,
        "observedGeneration": moment.generation,
        "phase": Phase.FAILED.value,
        "completionTime": _time(moment.now),
        "error": {"type": "TASK_LOST", "message": message},
        "conditions": _with(status, moment, (Condition.SUCCEEDED, "False", "TaskLost", message)),
    }


def mirrored(status: Status, task: TaskState, moment: Moment) -> dict[str, Any]:
    """Where the task stands now. One that has ended stays as it is."""
    before = phase_of(status)
    if before is not None and before.terminal:
        return dict(status)
    phase = PHASES[task.status]
    mirrored_status: dict[str, Any] = {
        **status,
        "observedGeneration": moment.generation,
        "phase": phase.value,
        "taskId": status.get("taskId") or task.task_id,
        "attempts": task.attempts,
        "queuedAt": _time(task.queued_at),
        "usage": _usage(task),
        "conditions": _with(
            status,
            moment,
            (Condition.ACCEPTED, "True", "Submitted", f"The API took the task as {task.task_id}."),
            (Condition.SUCCEEDED, *_success(task)),
            *_resumed(status),
        ),
    }
    optional = {
        "agent": task.selected_agent,
        "startTime": _time(task.started_at),
        "completionTime": _time(task.completed_at),
        "routing": _routing(task),
        "result": _result(task),
        "error": _error(task),
        "traceId": task.trace_id,
    }
    return mirrored_status | {name: value for name, value in optional.items() if value is not None}


def _success(task: TaskState) -> tuple[str, str, str]:
    if task.status is TaskStatus.COMPLETED:
        return "True", "Completed", "The task is done; status.result says where its answer is."
    if task.status is TaskStatus.CANCELLED:
        return "False", "Cancelled", "The task was cancelled."
    if task.status is TaskStatus.FAILED:
        error = task.error
        return ("False", camel(error.type), error.message) if error else ("False", "Failed", "The task failed.")
    if task.status is TaskStatus.PROCESSING:
        return "Unknown", "Processing", "A worker runs the task."
    if task.attempts:
        return "Unknown", "Requeued", f"The task waits for its attempt {task.attempts + 1}."
    return "Unknown", "Queued", "The task waits for a worker."


def _usage(task: TaskState) -> dict[str, Any]:
    usage = task.usage
    counted: dict[str, Any] = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
    }
    return counted if usage.cost_usd is None else counted | {"costUSD": _money(usage.cost_usd)}


def _money(usd: float) -> str:
    """To the millionth, without zeros that say nothing: 0.0143, 0.25, 3.00."""
    whole, _, fraction = f"{usd:.6f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def _routing(task: TaskState) -> dict[str, Any] | None:
    if task.routing is None:
        return None
    told = {"reasoning": task.routing.reasoning[:REASONING_CHARACTERS]}
    return told if task.routing.confidence is None else told | {"confidence": f"{task.routing.confidence:.2f}"}


def _result(task: TaskState) -> dict[str, Any] | None:
    if task.result is None:
        return None
    known = {"sizeBytes": task.result.size_bytes, "sha256": task.result.sha256}
    return {
        "preview": task.result.summary[:PREVIEW_CHARACTERS],
        "ref": f"/v1/tasks/{task.task_id}",
        **{name: value for name, value in known.items() if value is not None},
    }


def _error(task: TaskState) -> dict[str, str] | None:
    if task.error is None:
        return None
    return {"type": task.error.type, "message": task.error.message[:MESSAGE_CHARACTERS]}


def _with(status: Status, moment: Moment, *said: tuple[Condition, str, str, str]) -> list[dict[str, Any]]:
    """The conditions, those that something is said of renewed, in a fixed order."""
    known: dict[str, dict[str, Any]] = {found["type"]: dict(found) for found in status.get("conditions") or ()}
    for kind, value, reason, message in said:
        before = known.get(kind)
        changed = before is None or before.get("status") != value
        known[kind] = {
            "type": kind.value,
            "status": value,
            "observedGeneration": moment.generation,
            "lastTransitionTime": _time(moment.now) if changed or before is None else before["lastTransitionTime"],
            "reason": reason,
            "message": message[:MESSAGE_CHARACTERS],
        }
    order: Sequence[str] = [kind.value for kind in Condition]
    return sorted(known.values(), key=lambda one: order.index(one["type"]) if one["type"] in order else len(order))


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def camel(code: str) -> str:
    """A stable code as a reason of Kubernetes: BUDGET_EXCEEDED becomes BudgetExceeded."""
    words = re.findall(r"[A-Za-z0-9]+", code)
    joined = "".join(word.capitalize() if word.isupper() else word[:1].upper() + word[1:] for word in words)
    return joined if re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,127}", joined) else "Error"
