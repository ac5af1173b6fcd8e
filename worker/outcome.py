"""What becomes of a run that failed: pure decisions, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.task import Requeue, Task, TaskError
from app.errors import TaskFailure
from app.settings import ExecutionSettings


@dataclass(frozen=True)
class GiveUp:
    error: TaskError


@dataclass(frozen=True)
class TryAgain:
    """Back to the queue, due after `delay_seconds`."""

    reason: Requeue
    delay_seconds: float
    error: TaskError


def after_failure(
    failure: TaskFailure, task: Task, settings: ExecutionSettings, *, fraction: float
) -> GiveUp | TryAgain:
    """Whether the task is tried again. `fraction` (0 to 1) is the jitter's random part: full jitter.

    Transient failures are limited by the task's number of attempts; a 429 by its age alone.
    """
    error = TaskError(type=failure.code, message=failure.message)
    if not failure.retryable:
        return GiveUp(error)
    if failure.counted and task.retries + 1 >= task.max_attempts:
        return GiveUp(error)
    tries = task.retries if failure.counted else task.postponed
    longest = min(settings.retry_cap_seconds, settings.retry_base_seconds * 2 ** min(tries, 16))
    delay_seconds = max(fraction * longest, failure.retry_after_seconds or 0.0)
    reason = Requeue.RETRY if failure.counted else Requeue.POSTPONED
    return TryAgain(reason=reason, delay_seconds=delay_seconds, error=error)
