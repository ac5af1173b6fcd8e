"""The status of an AgentTask. Pure functions: they take the old status and the state of the task, and return a status.

The transition time of a condition changes only with the condition's status. So the same change twice gives the same
status, and the second one needs no write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from agent_operator.rest.task_state import TaskState
from app.domain.task import TERMINAL, TaskStatus

# Bounds of the texts. The full result stays in the task store: a large one would exceed etcd's limit for an object.
PREVIEW_CHARACTERS = 1_024
REASONING_CHARACTERS = 2_048
MESSAGE_CHARACTERS = 4_096
Status = Mapping[str, Any]


class Phase(StrEnum):
    """The state of the task in one word, for columns and selectors; conditions have the details."""

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
    """The types of conditions, in the order in which the status lists them."""

    ACCEPTED = "Accepted"
    SUCCEEDED = "Succeeded"
    FINISHED = "Finished"
    SUSPENDED = "Suspended"


NewCondition = tuple[Condition, str, str, str]
"""Type, status, reason and message of a condition."""

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
    """The time at which a status is written, and the generation of the spec that it is for."""

    now: datetime
    generation: int


def phase_of(status: Status) -> Phase | None:
    """Returns the phase, or None if no operator has written a status yet."""
    named = status.get("phase")
    return None if named is None else Phase(named)


def condition_of(status: Status, kind: Condition) -> Mapping[str, Any] | None:
    """Returns the condition of this type, or None if there is none yet."""
    return next((found for found in status.get("conditions") or () if found.get("type") == kind), None)


def submitted(status: Status, task_id: str, moment: Moment) -> dict[str, Any]:
    """Shows that the API has accepted the task. Everything that the status shows of the task already is newer."""
    accepted = (Condition.ACCEPTED, "True", "Submitted", f"The API accepted the task as {task_id}.")
    if status.get("taskId") is not None:  # the mirror was faster than the answer to the submission
        return _changed(status, moment, accepted, taskId=task_id)
    queued = (Condition.SUCCEEDED, "Unknown", "Queued", "The task waits for a worker.")
    return _changed(status, moment, accepted, queued, phase=Phase.QUEUED, taskId=task_id)


def suspended(status: Status, moment: Moment) -> dict[str, Any]:
    """Shows that the spec holds the task back."""
    message = "spec.suspend holds the task back; set it to false to submit it."
    return _changed(
        status,
        moment,
        (Condition.SUSPENDED, "True", "Suspended", message),
        (Condition.SUCCEEDED, "Unknown", "Suspended", "The task is not submitted yet."),
        phase=Phase.SUSPENDED,
    )


def held_up(status: Status, moment: Moment, *, reason: str, message: str) -> dict[str, Any]:
    """Shows that the API cannot accept the task now; the operator tries again."""
    return _changed(
        status,
        moment,
        (Condition.ACCEPTED, "Unknown", camel(reason), message),
        (Condition.SUCCEEDED, "Unknown", "Pending", "The task is not submitted yet."),
        phase=Phase.PENDING,
    )


def refused(status: Status, moment: Moment, *, reason: str, message: str) -> dict[str, Any]:
    """Shows that the API will never accept the task as it is."""
    return _changed(
        status,
        moment,
        (Condition.ACCEPTED, "False", camel(reason), message),
        (Condition.SUCCEEDED, "False", camel(reason), message),
        phase=Phase.FAILED,
        completionTime=_time(moment.now),
        error={"type": reason, "message": message[:MESSAGE_CHARACTERS]},
    )


def cancelled_unsubmitted(status: Status, moment: Moment) -> dict[str, Any]:
    """Shows that the task was cancelled before the API knew of it."""
    message = "The task was cancelled before it was submitted."
    return _changed(
        status,
        moment,
        (Condition.ACCEPTED, "False", "Cancelled", message),
        (Condition.SUCCEEDED, "False", "Cancelled", message),
        phase=Phase.CANCELLED,
        completionTime=_time(moment.now),
    )


def restored(status: Status, moment: Moment, phase: Phase, task_id: str | None) -> dict[str, Any]:
    """Shows that the task had ended before the object was restored from a backup, which drops the status."""
    task = "" if task_id is None else f" as task {task_id}"
    message = f"The object was restored; its task had ended before{task}. To run it again create a new AgentTask."
    success = "True" if phase is Phase.COMPLETED else "False"
    known: dict[str, Any] = {} if task_id is None else {"taskId": task_id}
    if phase is Phase.COMPLETED:
        known["result"] = {"ref": f"/v1/tasks/{task_id}"}
    elif phase is Phase.FAILED:
        known["error"] = {"type": "RESTORED", "message": message}
    return _changed(
        status,
        moment,
        (Condition.ACCEPTED, "True" if task_id else "False", "Restored", message),
        (Condition.SUCCEEDED, success, "Restored", message),
        phase=phase,
        completionTime=_time(moment.now),
        **known,
    )


def lost(status: Status, moment: Moment) -> dict[str, Any]:
    """Shows that the API no longer knows a task that it had accepted.

    The operator never submits it again, because it may have run.
    """
    message = f"The API no longer knows task {status.get('taskId')}. To run it again create a new AgentTask."
    return _changed(
        status,
        moment,
        (Condition.SUCCEEDED, "False", "TaskLost", message),
        phase=Phase.FAILED,
        completionTime=_time(moment.now),
        error={"type": "TASK_LOST", "message": message},
    )


def mirrored(status: Status, task: TaskState, moment: Moment) -> dict[str, Any]:
    """Shows the task's state. A status that shows the end of a task does not change any more."""
    before = phase_of(status)
    if before is not None and before.terminal:
        return dict(status)  # the CRD's rules freeze a terminal phase; the API server would refuse the write
    optional = {
        "agent": task.selected_agent,
        "startTime": _time(task.started_at),
        "completionTime": _time(task.completed_at),
        "routing": _routing(task),
        "result": _result(task),
        "error": _error(task),
        "traceId": task.trace_id,
    }
    return _changed(
        status,
        moment,
        (Condition.ACCEPTED, "True", "Submitted", f"The API accepted the task as {task.task_id}."),
        (Condition.SUCCEEDED, *_success(task)),
        phase=PHASES[task.status],
        taskId=status.get("taskId") or task.task_id,  # set once: the CRD's rules refuse another value
        attempts=task.attempts,
        queuedAt=_time(task.queued_at),
        usage=_usage(task),
        **{name: value for name, value in optional.items() if value is not None},
    )


def _changed(
    status: Status, moment: Moment, *conditions: NewCondition, phase: Phase | None = None, **fields: Any
) -> dict[str, Any]:
    """Returns the status with these conditions and fields; without a phase it keeps the old one.

    A status that shows `Suspended` and does not set it here shows that the task is held back no longer.
    """
    if phase is not None:
        conditions = (*conditions, _finished(phase))
    if condition_of(status, Condition.SUSPENDED) and Condition.SUSPENDED not in {kind for kind, *_ in conditions}:
        conditions = (*conditions, (Condition.SUSPENDED, "False", "Resumed", "The task is no longer held back."))
    return {
        **status,
        **({} if phase is None else {"phase": phase.value}),
        **fields,
        "observedGeneration": moment.generation,
        "conditions": _conditions(status, moment, *conditions),
    }


def _finished(phase: Phase) -> NewCondition:
    """Makes the condition for everybody who waits for the end: of Succeeded one would have to know how it ends."""
    if phase.terminal:
        return Condition.FINISHED, "True", phase.value, "The task has ended; the condition Succeeded says how."
    return Condition.FINISHED, "False", phase.value, "The task has not ended yet."


def _success(task: TaskState) -> tuple[str, str, str]:
    if task.status is TaskStatus.COMPLETED:
        return "True", "Completed", "The task is done; status.result names the place of its answer."
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
    """Formats a cost to the millionth, with two to six decimals: 0.0143, 0.25, 3.00.

    A text, because the API conventions of Kubernetes advise against floating-point fields.
    """
    whole, _, fraction = f"{usd:.6f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def _routing(task: TaskState) -> dict[str, Any] | None:
    if task.routing is None:
        return None
    routing = {"reasoning": task.routing.reasoning[:REASONING_CHARACTERS]}
    confidence = task.routing.confidence
    return routing if confidence is None else routing | {"confidence": f"{confidence:.2f}"}


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


def _conditions(status: Status, moment: Moment, *renewed: NewCondition) -> list[dict[str, Any]]:
    """Returns all conditions in a fixed order: the old ones, replaced by the renewed ones.

    A merge patch replaces a list as a whole, so the result must have the old conditions, too.
    """
    known: dict[str, dict[str, Any]] = {found["type"]: dict(found) for found in status.get("conditions") or ()}
    for kind, value, reason, message in renewed:
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
    # Conditions that another program has added come last, and stay.
    return sorted(known.values(), key=lambda one: order.index(one["type"]) if one["type"] in order else len(order))


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def camel(code: str) -> str:
    """Converts a stable code into a reason of Kubernetes: BUDGET_EXCEEDED becomes BudgetExceeded."""
    words = re.findall(r"[A-Za-z0-9]+", code)
    joined = "".join(word.capitalize() if word.isupper() else word[:1].upper() + word[1:] for word in words)
    return joined if re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,127}", joined) else "Error"
