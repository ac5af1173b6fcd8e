"""Each way out of a run is one write, built from what the journal has not written yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from app.domain.agent import AgentOutput
from app.domain.identity import ClaimId, SessionId, TaskId, Tenant
from app.domain.message import Message
from app.domain.task import (
    RESULT_BYTES_LIMIT,
    Requeue,
    Task,
    TaskError,
    TaskResult,
    TaskStatus,
    other_version_delay,
)
from app.errors import ClaimLost, LLMUnavailable, Postponed, ResultTooLarge, UnknownTaskType
from app.ports import Claim, RunUpdate
from app.settings import ExecutionSettings
from tests.support.doubles import IdleClaims, ManualClock
from tests.support.tasks import new_task, step
from worker.allowance import TaskAllowance
from worker.endings import REQUEUED, completed, handed_back, interrupted, retried_or_failed
from worker.journal import TaskJournal
from worker.leases import HeldClaim, Interruption
from worker.run_context import RunContext

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = ExecutionSettings()


class RecordingClaims(IdleClaims):
    """A claim repository that accepts every ending, and records it with its arguments."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    async def claim(self, task_id: TaskId, *, claim_id: ClaimId) -> Task | None:
        raise AssertionError("no task is claimed here")

    async def history(self, tenant: Tenant, session_id: SessionId, *, before: Task) -> Sequence[Message]:
        raise AssertionError("no history is read here")

    async def record(self, claim: Claim, update: RunUpdate) -> bool:
        raise AssertionError("no step is written alone here")

    async def complete(self, claim: Claim, update: RunUpdate, result: TaskResult) -> bool:
        return self._record("complete", claim, update, result)

    async def fail(self, claim: Claim, update: RunUpdate, error: TaskError, partial: TaskResult | None) -> bool:
        return self._record("fail", claim, update, error, partial)

    async def cancel(self, claim: Claim, update: RunUpdate) -> bool:
        return self._record("cancel", claim, update)

    async def requeue(
        self, claim: Claim, update: RunUpdate, *, reason: Requeue, delay_seconds: float, error: TaskError | None
    ) -> bool:
        return self._record("requeue", claim, update, reason=reason, delay_seconds=delay_seconds, error=error)

    def _record(self, name: str, *arguments: Any, **options: Any) -> bool:
        self.writes.append((name, arguments, options))
        return True


class RunHarness:
    """A run of the current asyncio task, with one step that is not written yet."""

    def __init__(self, **fields: Any) -> None:
        times = dict.fromkeys(("created_at", "queued_at", "updated_at", "changed_at"), NOW)
        task = Task(**{**new_task().model_dump(), "status": TaskStatus.PROCESSING, "rev": 1, **times, **fields})
        running = asyncio.current_task()
        assert running is not None
        self.claims = RecordingClaims()
        self.held = HeldClaim(
            claim=Claim(task_id=task.id, claim_id=ClaimId("c1"), epoch=1),
            run=cast("asyncio.Task[None]", running),
            renewed_at=0,
            lease_seconds=30,
            clock=ManualClock(),
        )
        self.journal = TaskJournal(task, self.held, self.claims)
        self.context = RunContext(
            task=task,
            held=self.held,
            journal=self.journal,
            allowance=TaskAllowance(task, self.held, self.journal),
            claims=self.claims,
            ends_at=0,
        )

    async def record(self, content: str) -> None:
        await self.journal.record(step("write#1", output={"content": content}), flush=False)


async def test_a_repeated_ending_is_the_same_write() -> None:
    harness = RunHarness()
    await harness.record("an answer")
    ending = completed(harness.context, AgentOutput(agent_name="A", content="an answer"))

    await ending.write()
    await ending.write()

    (name, first, _), (repeated, second, _) = harness.claims.writes
    assert name == repeated == "complete"
    assert first[1].write_id == second[1].write_id
    assert [recorded.output for recorded in first[1].steps] == [{"content": {"$result": True}}]


async def test_an_answer_that_is_too_large_is_refused() -> None:
    harness = RunHarness()

    with pytest.raises(ResultTooLarge):
        completed(harness.context, AgentOutput(agent_name="A", content="x" * (RESULT_BYTES_LIMIT + 1)))


@pytest.mark.parametrize(("keep_texts", "kept"), [(True, "half an answer"), (False, None)])
async def test_a_failed_task_keeps_its_newest_text_if_it_may(keep_texts: bool, kept: str | None) -> None:
    harness = RunHarness()
    await harness.record("half an answer")

    ending = retried_or_failed(harness.context, UnknownTaskType("nobody can"), SETTINGS, keep_texts=keep_texts)
    await ending.write()

    ((name, (_, _, error, partial), _),) = harness.claims.writes
    assert (ending.name, name, error.type) == ("failed", "fail", "UNKNOWN_TASK_TYPE")
    assert (partial.raw_output if partial is not None else None) == kept


async def test_the_summary_of_a_partial_answer_is_in_its_language() -> None:
    harness = RunHarness()
    await harness.record("Der Text ist noch nicht fertig, und das ist")

    await retried_or_failed(harness.context, UnknownTaskType("nobody can"), SETTINGS).write()

    ((_, (_, _, _, partial), _),) = harness.claims.writes
    assert partial.summary == "Teilantwort: Die Aufgabe ist gescheitert, bevor sie fertig war."


async def test_a_transient_failure_requeues_the_task_with_its_error() -> None:
    harness = RunHarness()

    ending = retried_or_failed(harness.context, LLMUnavailable("down"), SETTINGS)
    await ending.write()

    ((name, _, options),) = harness.claims.writes
    assert (ending.name, name) == (REQUEUED, "requeue")
    assert (options["reason"], options["error"].type) == (Requeue.RETRY, "LLM_UNAVAILABLE")


@pytest.mark.parametrize(("stopping", "delay_seconds"), [(True, 0.0), (False, other_version_delay(3))])
async def test_a_task_of_another_version_waits_and_one_of_a_stopping_worker_does_not(
    stopping: bool, delay_seconds: float
) -> None:
    harness = RunHarness(handbacks=3)
    harness.held.hand_back = stopping

    await handed_back(harness.context, Postponed("later")).write()

    ((name, _, options),) = harness.claims.writes
    assert name == "requeue"
    assert options == {"reason": Requeue.HANDBACK, "delay_seconds": delay_seconds, "error": None}


async def test_a_cancelled_run_ends_as_cancelled_and_no_request_to_cancel_stays_counted() -> None:
    harness = RunHarness()
    harness.held.interrupt(Interruption.CANCELLED)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)

    ending = interrupted(harness.context)

    assert (ending.name, harness.held.run.cancelling()) == ("cancelled", 0)


@pytest.mark.parametrize(
    ("reason", "raised"),
    [
        (Interruption.LOST, ClaimLost),
        (Interruption.ABANDONED, ClaimLost),
        (None, asyncio.CancelledError),
    ],
)
async def test_a_run_that_nobody_cancelled_writes_no_end(
    reason: Interruption | None, raised: type[BaseException]
) -> None:
    harness = RunHarness()
    harness.held.interruption = reason

    with pytest.raises(raised):
        interrupted(harness.context)

    assert harness.claims.writes == []
