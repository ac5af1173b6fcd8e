"""The journal on a real store: which write holds which steps, and how an outage changes that."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from app.domain.usage import AttemptStatus, ModelAttempt, Usage
from app.errors import ClaimLost, Postponed, StoreUnavailable
from app.ports import Claim, RunUpdate
from app.storage.mongo import Database
from app.system_clock import SystemClock
from tests.support.tasks import TENANT, claim_repository, claimed_task, step, task_repository
from worker.journal import TaskJournal
from worker.leases import HeldClaim, LeaseKeeper


class JournalHarness:
    """A journal of a claimed task on a real store."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.claims = claim_repository(db)

    async def start(self) -> tuple[TaskJournal, HeldClaim]:
        task, claim = await claimed_task(self.db)
        keeper = LeaseKeeper(self.claims, lease_seconds=30, clock=SystemClock())
        held = keeper.hold(claim, claimed_at=SystemClock().monotonic())
        self.task = task
        return TaskJournal(task, held, self.claims), held

    async def stored_steps(self) -> list[str]:
        stored = await task_repository(self.db).get(TENANT, self.task.id)
        return [recorded.key for recorded in stored.ordered_steps()]


@pytest.fixture
def harness(indexed_database: Database) -> JournalHarness:
    return JournalHarness(indexed_database)


async def test_a_step_without_flush_is_written_with_the_next_one(harness: JournalHarness) -> None:
    journal, _ = await harness.start()

    await journal.record(step("classify_task#1"), flush=False)
    assert await harness.stored_steps() == []
    await journal.record(step("plan#1"), flush=True)

    assert await harness.stored_steps() == ["classify_task#1", "plan#1"]


async def test_a_step_is_found_by_key_and_inputs_only(harness: JournalHarness) -> None:
    journal, _ = await harness.start()
    await journal.record(step("plan#1", input_hash="a" * 64), flush=True)

    assert journal.find("plan#1", "a" * 64) is not None
    assert journal.find("plan#1", "b" * 64) is None
    assert journal.find("plan#2", "a" * 64) is None


async def test_keys_count_the_runs_of_a_node(harness: JournalHarness) -> None:
    journal, _ = await harness.start()

    assert [journal.next_key("search"), journal.next_key("search"), journal.next_key("plan")] == [
        "search#1",
        "search#2",
        "plan#1",
    ]


def attempt(tokens: int) -> ModelAttempt:
    usage = Usage(input_tokens=tokens)
    return ModelAttempt(provider="p", model="m", status=AttemptStatus.OK, usage=usage, started_at=datetime.now(UTC))


async def test_a_step_inside_another_one_takes_its_own_attempts_only(harness: JournalHarness) -> None:
    journal, _ = await harness.start()

    with journal.collect("node#1") as outer:
        journal.observe(attempt(1))
        with journal.collect("model#1") as inner:
            journal.observe(attempt(10))
        journal.observe(attempt(100))
        assert journal.current_step() == "node#1"

    assert [one.usage.input_tokens for one in outer.attempts()] == [1, 100]
    assert [one.usage.input_tokens for one in inner.attempts()] == [10]
    assert journal.usage.input_tokens == 111
    assert journal.current_step() == ""


async def test_attempts_belong_to_the_node_that_made_them(harness: JournalHarness) -> None:
    journal, _ = await harness.start()
    all_begun = asyncio.Barrier(3)

    async def node(tokens: int) -> int:
        with journal.collect(f"node#{tokens}") as meter:
            await all_begun.wait()
            journal.observe(attempt(tokens))
            assert journal.current_step() == f"node#{tokens}"
        return sum(attempt.usage.input_tokens for attempt in meter.attempts())

    assert await asyncio.gather(*(asyncio.create_task(node(tokens)) for tokens in (1, 10, 100))) == [1, 10, 100]
    assert journal.usage.input_tokens == 111
    assert journal.current_step() == ""


async def test_a_write_is_repeated_until_the_database_answers(harness: JournalHarness) -> None:
    journal, _ = await harness.start()
    outages = [StoreUnavailable("unavailable"), StoreUnavailable("still unavailable")]
    asked = 0

    async def operation() -> bool:
        nonlocal asked
        asked += 1
        if outages:
            raise outages.pop()
        return True

    await journal.write(operation)

    assert asked == 3


async def test_a_write_behind_the_fence_raises_that_the_claim_is_lost(harness: JournalHarness) -> None:
    journal, held = await harness.start()
    await harness.db["tasks"].update_one({"_id": harness.task.id}, {"$set": {"epoch": held.claim.epoch + 1}})

    with pytest.raises(ClaimLost):
        await journal.flush()


async def test_a_worker_that_stops_leaves_after_the_write(harness: JournalHarness) -> None:
    journal, held = await harness.start()
    held.hand_back = True

    with pytest.raises(Postponed):
        await journal.record(step("plan#1"), flush=True)

    assert await harness.stored_steps() == ["plan#1"]


async def test_the_newest_text_is_kept_of_a_failed_task(harness: JournalHarness) -> None:
    journal, _ = await harness.start()
    assert journal.latest_text() is None

    await journal.record(step("write#1", output={"content": "draft"}), flush=False)
    await journal.record(step("check#1", output={"dropped": 1}), flush=False)

    assert journal.latest_text() == "draft"


async def test_a_write_does_not_overtake_another_that_is_repeated(harness: JournalHarness) -> None:
    journal, held = await harness.start()
    record, order, first = harness.claims.record, [], asyncio.Event()

    async def record_after_an_outage(claim: Claim, update: RunUpdate) -> bool:
        order.append([recorded.key for recorded in update.steps])
        if not first.is_set():
            first.set()
            raise StoreUnavailable("the answer was lost")
        return await record(claim, update)

    harness.claims.record = record_after_an_outage  # type: ignore[method-assign]  # an outage at the first write
    writes = [asyncio.create_task(journal.record(step(key), flush=True)) for key in ("plan#1", "search#1")]
    await asyncio.gather(*writes)

    assert order == [["plan#1"], ["plan#1"], ["search#1"]]
    assert await harness.stored_steps() == ["plan#1", "search#1"]
    assert held.interruption is None


async def test_the_steps_of_a_write_that_was_cut_off_come_with_the_next(harness: JournalHarness) -> None:
    journal, _ = await harness.start()
    record, writing = harness.claims.record, asyncio.Event()

    async def hang(claim: Claim, update: RunUpdate) -> bool:
        writing.set()
        await asyncio.Event().wait()
        return True

    harness.claims.record = hang  # type: ignore[method-assign]  # a database that does not answer
    cut_off = asyncio.create_task(journal.record(step("plan#1"), flush=True))
    await writing.wait()
    cut_off.cancel()
    await asyncio.gather(cut_off, return_exceptions=True)
    harness.claims.record = record  # type: ignore[method-assign]  # it answers again
    await journal.flush()

    assert await harness.stored_steps() == ["plan#1"]
