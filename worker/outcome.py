"""The decision on a run that failed: give up or try again. Pure, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.task import Requeue, Task, TaskError
from app.errors import TaskFailure
from app.settings import ExecutionSettings


@dataclass(frozen=True)
class GiveUp:
    """The end of the task as failed."""

    error: TaskError


@dataclass(frozen=True)
class TryAgain:
    """A return to the queue, due after `delay_seconds`."""

    reason: Requeue
    delay_seconds: float
    error: TaskError


def after_failure(
    failure: TaskFailure, task: Task, settings: ExecutionSettings, *, fraction: float
) -> GiveUp | TryAgain:
    """Decides whether the task is tried again. `fraction` (0 to 1) is the random part of a full jitter.

    Transient failures are limited by the task's number of attempts; a 429 by its age alone.
    """
    error = TaskError(type=failure.code, message=failure.message)
    if not failure.retryable:
        return GiveUp(error)
    if failure.counted and task.retries + 1 >= task.max_attempts:
        return GiveUp(error)
    # Retries and postponements are counted apart: a provider that answers 429 for a while must not lengthen the pauses
    # after other failures, nor use up the attempts.
    tries = task.retries if failure.counted else task.postponed
    longest = min(
        settings.retry_cap_seconds, settings.retry_base_seconds * 2 ** min(tries, 16)
    )  # a larger power overflows a float
    # The provider's Retry-After is the shortest delay: an earlier call would be refused again.
    delay_seconds = max(fraction * longest, failure.retry_after_seconds or 0.0)
    reason = Requeue.RETRY if failure.counted else Requeue.POSTPONED
    return TryAgain(reason=reason, delay_seconds=delay_seconds, error=error)
