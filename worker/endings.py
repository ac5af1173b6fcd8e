"""The ways in which a run ends, each with the one fenced write that stores it.

A function here takes from the journal what is not written yet and returns an `Ending`; it writes nothing itself. The
executor writes the ending, because it alone knows what to do if the write is interrupted or refused.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from app.agents.fixed_texts import fixed_texts_for
from app.agents.summary import summarise
from app.domain.agent import AgentOutput
from app.domain.task import (
    RESULT_BYTES_LIMIT,
    Requeue,
    TaskError,
    TaskResult,
    TaskStatus,
    other_version_delay,
)
from app.errors import Postponed, ResultTooLarge, TaskFailure
from app.settings import ExecutionSettings
from app.telemetry.logs import get_logger
from worker.leases import Interruption
from worker.outcome import GiveUp, after_failure
from worker.run_context import RunContext

REQUEUED = "requeued"

_log = get_logger(__name__)


@dataclass(frozen=True)
class Ending:
    """The end of one run. `name` is the task's status, or `requeued`. `write` returns False if the claim is lost.

    The update is part of `write` from the start, so that a repeat after an outage is the same write with the same id
    and counts once.
    """

    name: str
    write: Callable[[], Awaitable[bool]]


def completed(run: RunContext, output: AgentOutput) -> Ending:
    """Ends the task with the agent's answer. Raises ResultTooLarge."""
    if len(output.content.encode(errors="replace")) > RESULT_BYTES_LIMIT:
        raise ResultTooLarge(f"The answer is larger than {RESULT_BYTES_LIMIT} bytes, the most that is kept.")
    result = TaskResult.of(
        output.content,
        summary=summarise(output, task=run.task.task),
        code_language=output.code_language,
        citations=output.citations,
        truncated=output.truncated,
    )
    update = run.journal.take_update(result.raw_output)
    return Ending(TaskStatus.COMPLETED.value, partial(run.claims.complete, run.held.claim, update, result))


def failed(run: RunContext, error: TaskError, *, keep_texts: bool) -> Ending:
    """Ends the task as failed. With `keep_texts`, the newest text of a step is kept as a partial answer."""
    text = run.journal.latest_text() if keep_texts else None
    answer = None
    if text is not None:
        answer = TaskResult.of(text, summary=fixed_texts_for(text, run.task.task).partial)
    update = run.journal.take_update()
    return Ending(TaskStatus.FAILED.value, partial(run.claims.fail, run.held.claim, update, error, answer))


def cancelled(run: RunContext) -> Ending:
    """Ends the task as cancelled."""
    return Ending(TaskStatus.CANCELLED.value, partial(run.claims.cancel, run.held.claim, run.journal.take_update()))


def requeued(run: RunContext, *, reason: Requeue, delay_seconds: float, error: TaskError | None = None) -> Ending:
    """Returns the task to the queue, due after `delay_seconds`."""
    write = partial(
        run.claims.requeue,
        run.held.claim,
        run.journal.take_update(),
        reason=reason,
        delay_seconds=delay_seconds,
        error=error,
    )
    return Ending(REQUEUED, write)


def handed_back(run: RunContext, reason: Postponed) -> Ending:
    """Returns a task that this worker cannot run, or has no time left for, to the queue."""
    # A worker that stops hands back a task that any other can run at once. A task of another version waits: the worker
    # that fetches it next may well be of this version too.
    delay_seconds = 0.0 if run.held.hand_back else other_version_delay(run.task.handbacks)
    _log.info("task_handed_back", reason=reason.message)
    return requeued(run, reason=Requeue.HANDBACK, delay_seconds=delay_seconds)


def retried_or_failed(
    run: RunContext, failure: TaskFailure, settings: ExecutionSettings, *, keep_texts: bool = True
) -> Ending:
    """Requeues the task if another try may help, else ends it as failed.

    Without `keep_texts` the ending of a failed task has no text of an agent.
    """
    verdict = after_failure(failure, run.task, settings, fraction=random.random())
    if isinstance(verdict, GiveUp):
        _log.warning("task_error", error_code=verdict.error.type)
        return failed(run, verdict.error, keep_texts=keep_texts)
    _log.warning("task_retried", error_code=verdict.error.type, delay_seconds=round(verdict.delay_seconds, 3))
    return requeued(run, reason=verdict.reason, delay_seconds=verdict.delay_seconds, error=verdict.error)


def interrupted(run: RunContext) -> Ending:
    """Ends a run that was stopped from outside as cancelled, if that is why. Raises ClaimLost or CancelledError."""
    if run.held.interruption is not Interruption.CANCELLED:
        run.raise_interruption()
    # asyncio counts the requests to cancel a task. This one is answered by the ending; if it stayed counted, code that
    # reads `cancelling()` from now on, such as a TaskGroup, would take the run for cancelled a second time.
    run.held.run.uncancel()
    return cancelled(run)
