"""The decision on a run that failed: give up or try again. Pure, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.task import Requeue, Task, TaskError
from app.errors import LLMRateLimited, TaskFailure
from app.settings import ExecutionSettings

# A breaker lets a call through at a time that it knows, and nobody is helped by a task that comes much later. Within
# these seconds the tasks that it refused do not all come back at once.
REFUSED_SPREAD_SECONDS = 10.0


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

    Transient failures are limited by the task's number of attempts; a 429 and a refusal by a breaker by its age alone.
    """
    error = TaskError(type=failure.code, message=failure.message)
    if not failure.retryable:
        return GiveUp(error)
    if failure.counted and task.retries + 1 >= task.max_attempts:
        return GiveUp(error)
    reason = Requeue.RETRY if failure.counted else Requeue.POSTPONED
    return TryAgain(reason=reason, delay_seconds=_delay_seconds(failure, task, settings, fraction), error=error)


def _delay_seconds(failure: TaskFailure, task: Task, settings: ExecutionSettings, fraction: float) -> float:
    # Retries and postponements are counted apart: a provider that answers 429 for a while must not lengthen the pauses
    # after other failures, nor use up the attempts.
    tries = task.retries if failure.counted else task.postponed
    # A larger power overflows a float.
    longest = min(settings.retry_cap_seconds, settings.retry_base_seconds * 2.0 ** min(tries, 16))
    shortest = failure.retry_after_seconds or 0.0
    if failure.counted or isinstance(failure, LLMRateLimited):
        # The provider's Retry-After is the shortest delay: an earlier call would be refused again. Many tasks may wait
        # for a busy provider, so the delays grow all the same.
        return max(fraction * longest, shortest)
    return shortest + fraction * min(longest, REFUSED_SPREAD_SECONDS)
