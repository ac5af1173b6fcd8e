"""Claim, fenced writes and heartbeat: only one worker at a time can write to a task."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from bson import encode

from app.domain.agent import Citation
from app.domain.identity import ClaimId, SessionId
from app.domain.message import Message
from app.domain.task import Requeue, Routing, Spending, Task, TaskError, TaskResult, TaskStatus
from app.domain.usage import Usage
from app.errors import StoreError
from app.ports import Claim, RunUpdate
from app.storage import claims as claims_module
from app.storage.documents import BEGINNING_CHARACTERS, CUT_MARK
from app.storage.mongo import Database
from app.storage.projections import MongoProjectionRepository
from app.storage.sessions import MongoSessionRepository
from tests.support.tasks import TENANT, claim, claim_repository, claimed_task, new_task, step, task_repository

RESULT = TaskResult(
    summary="s", raw_output="long $text", code_language="python", citations=(Citation(source="a", title="t", url="u"),)
)


@pytest.mark.parametrize("processes", [1, 10])
async def test_only_one_of_many_claims_wins(indexed_database: Database, processes: int) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=True, new_session=True)).task
    claims = [claim_repository(indexed_database) for _ in range(processes)]

    taken = await asyncio.gather(*(claims[n % processes].claim(task.id, claim_id=f"c{n}") for n in range(10)))

    winners = [one for one in taken if one is not None]
    assert len(winners) == 1
    assert (winners[0].epoch, winners[0].attempts, winners[0].status) == (1, 1, TaskStatus.PROCESSING)
    assert winners[0].started_at is not None


async def test_claims_that_go_in_one_request_get_each_their_own_task(indexed_database: Database) -> None:
    tasks, claims = task_repository(indexed_database), claim_repository(indexed_database)
    mine = [(await tasks.insert(new_task(f"number {n}"), dispatched=n != 2, new_session=True)).task for n in range(5)]

    taken = await asyncio.gather(*(claims.claim(task.id, claim_id=f"c{n}") for n, task in enumerate(mine)))

    assert [task.id if task else None for task in taken] == [mine[n].id if n != 2 else None for n in range(5)]
    leases = [(task.lease.owner, task.lease.claim_id) for task in taken if task is not None and task.lease is not None]
    assert leases == [("worker-a", f"c{n}") for n in (0, 1, 3, 4)]


async def test_a_document_that_cannot_be_claimed_keeps_no_other_from_being_claimed(indexed_database: Database) -> None:
    tasks, claims = task_repository(indexed_database), claim_repository(indexed_database)
    mine = [(await tasks.insert(new_task(), dispatched=True, new_session=True)).task for _ in range(4)]
    await indexed_database["tasks"].update_one({"_id": mine[1].id}, {"$set": {"rev": "one"}})

    taken = await asyncio.gather(
        *(claims.claim(task.id, claim_id=f"c{n}") for n, task in enumerate(mine)), return_exceptions=True
    )

    assert [type(task) for task in taken] == [Task, StoreError, Task, Task]


async def test_fenced_writes_at_the_same_time_have_each_their_own_answer(indexed_database: Database) -> None:
    held = [(await claimed_task(indexed_database))[1] for _ in range(4)]
    held[1] = replace(held[1], epoch=held[1].epoch + 1)
    claims = claim_repository(indexed_database)
    texts = ["a", "b", "\ud800", "d"]

    answers = await asyncio.gather(
        *(
            claims.record(claim, RunUpdate(steps=[step(output={"content": text})]))
            for claim, text in zip(held, texts, strict=True)
        ),
        return_exceptions=True,
    )

    assert answers[:2] == [True, False]
    assert isinstance(answers[2], StoreError)
    assert answers[3] is True


async def test_an_undispatched_task_is_not_claimed(indexed_database: Database) -> None:
    task = (await task_repository(indexed_database).insert(new_task(), dispatched=False, new_session=True)).task

    assert await claim_repository(indexed_database).claim(task.id, claim_id="c") is None


async def test_an_unknown_task_is_not_claimed(indexed_database: Database) -> None:
    assert await claim_repository(indexed_database).claim(new_task().id, claim_id="c") is None


async def test_steps_and_what_became_known_are_recorded(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    routing = Routing(agent_name="CodeAgent", confidence=0.9, reasoning="$because")
    spent = Usage(input_tokens=3, output_tokens=4, cost_microusd=12)
    update = RunUpdate(
        steps=[step()], usage=spent, routing=routing, agent_type="code", history=(), spending=Spending(settled=spent)
    )

    assert await claim_repository(indexed_database).record(held, update)

    stored = await task_repository(indexed_database).get(TENANT, task.id)
    times = {"started_at", "finished_at"}
    assert stored.steps["generate#1"].model_dump(exclude=times) == step().model_dump(exclude=times)
    assert stored.usage == spent
    assert (stored.selected_agent, stored.agent_type, stored.peer_routing_reason) == ("CodeAgent", "code", "$because")
    assert stored.history == ()
    assert stored.spending.settled == spent
    assert stored.rev == task.rev + 1


async def test_a_repeated_write_counts_once(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    claims = claim_repository(indexed_database)
    update = RunUpdate(steps=[step()])

    assert await claims.record(held, update)
    assert await claims.record(held, update)
    finish = RunUpdate()
    assert await claims.complete(held, finish, RESULT)
    assert await claims.complete(held, finish, RESULT)

    stored = await task_repository(indexed_database).get(TENANT, task.id)
    assert stored.rev == task.rev + 2
    assert len(stored.messages) == 2


async def test_completing_stores_the_result_and_the_answer_once(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)

    assert await claim_repository(indexed_database).complete(held, RunUpdate(steps=[step()]), RESULT)

    stored = await task_repository(indexed_database).get(TENANT, task.id)
    assert stored.status is TaskStatus.COMPLETED
    assert stored.result == RESULT
    assert [message.content for message in stored.messages] == [task.task, "long $text"]
    assert stored.completed_at is not None
    assert stored.lease is None
    assert stored.events[-1].name == "task_completed"


async def test_failing_keeps_the_error_and_the_partial_answer(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    error = TaskError(type="BUDGET_EXCEEDED", message="$5 are gone")

    assert await claim_repository(indexed_database).fail(held, RunUpdate(), error, RESULT)

    stored = await task_repository(indexed_database).get(TENANT, task.id)
    assert (stored.status, stored.error, stored.result) == (TaskStatus.FAILED, error, RESULT)


@pytest.mark.parametrize("write", ["record", "complete", "fail", "cancel", "requeue"])
async def test_a_stale_claim_writes_nothing(indexed_database: Database, write: str) -> None:
    task, held = await claimed_task(indexed_database)
    claims = claim_repository(indexed_database)
    assert await claims.requeue(held, RunUpdate(), reason=Requeue.HANDBACK, delay_seconds=0, error=None)
    await indexed_database["tasks"].update_one({"_id": task.id}, [{"$set": {"dispatched_at": "$$NOW"}}])
    _, newer = await claim(indexed_database, task.id)
    stored = await task_repository(indexed_database).get(TENANT, task.id)
    error = TaskError(type="X", message="x")

    writes: dict[str, Callable[[], Awaitable[bool]]] = {
        "record": lambda: claims.record(held, RunUpdate(steps=[step()])),
        "complete": lambda: claims.complete(held, RunUpdate(), RESULT),
        "fail": lambda: claims.fail(held, RunUpdate(), error, None),
        "cancel": lambda: claims.cancel(held, RunUpdate()),
        "requeue": lambda: claims.requeue(held, RunUpdate(), reason=Requeue.RETRY, delay_seconds=0, error=None),
    }

    assert not await writes[write]()
    assert await task_repository(indexed_database).get(TENANT, task.id) == stored
    assert newer.epoch == held.epoch + 1


@pytest.mark.parametrize(
    ("reason", "counter"),
    [
        (Requeue.RETRY, "retries"),
        (Requeue.POSTPONED, "postponed"),
        (Requeue.HANDBACK, "handbacks"),
        (Requeue.CRASH, "crashes"),
    ],
)
async def test_a_requeued_task_waits_and_its_reason_is_counted(
    indexed_database: Database, reason: Requeue, counter: str
) -> None:
    task, held = await claimed_task(indexed_database)

    await claim_repository(indexed_database).requeue(
        held, RunUpdate(steps=[step()]), reason=reason, delay_seconds=60, error=TaskError(type="X", message="")
    )

    stored = await task_repository(indexed_database).get(TENANT, task.id)
    assert stored.status is TaskStatus.QUEUED
    assert {name: getattr(stored, name) for name in ("retries", "postponed", "handbacks", "crashes")} == {
        **dict.fromkeys(("retries", "postponed", "handbacks", "crashes"), 0),
        counter: 1,
    }
    assert stored.due_at is not None
    assert (stored.due_at - stored.queued_at).total_seconds() == pytest.approx(60, abs=0.1)
    assert stored.dispatched_at is None
    assert "generate#1" in stored.steps


async def test_a_heartbeat_reports_lost_claims_and_renews_the_others(indexed_database: Database) -> None:
    _, first = await claimed_task(indexed_database)
    second_task, second = await claimed_task(indexed_database)
    ghost = Claim(task_id=second_task.id, claim_id=ClaimId("ghost"), epoch=9)
    claims = claim_repository(indexed_database, lease_seconds=300)

    heartbeat = await claims.heartbeat([first, second, ghost])

    assert heartbeat.lost == {"ghost"}
    assert heartbeat.cancelled == frozenset()
    renewed = await task_repository(indexed_database).get(TENANT, second_task.id)
    assert renewed.lease is not None
    assert (renewed.lease.expires_at - renewed.changed_at).total_seconds() > 200
    assert renewed.rev == second_task.rev


async def test_history_is_the_sessions_completed_earlier_turns(indexed_database: Database) -> None:
    session = SessionId(str(uuid.uuid4()))
    claims = claim_repository(indexed_database)
    _, first = await claimed_task(indexed_database, text="one", session_id=session)
    await claims.complete(first, RunUpdate(), RESULT)
    _, failed = await claimed_task(indexed_database, text="bad", session_id=session)
    await claims.fail(failed, RunUpdate(), TaskError(type="X", message=""), None)
    later, _ = await claimed_task(indexed_database, text="two", session_id=session)

    history = await claims.history(TENANT, session, before=later)

    assert [message.content for message in history] == ["one", "long $text"]
    assert [message.citations for message in history] == [(), RESULT.citations]


async def test_recorded_history_keeps_the_citations_of_its_answers(indexed_database: Database) -> None:
    session = SessionId(str(uuid.uuid4()))
    claims = claim_repository(indexed_database)
    _, first = await claimed_task(indexed_database, session_id=session)
    await claims.complete(first, RunUpdate(), RESULT)
    task, held = await claimed_task(indexed_database, session_id=session)
    history = tuple(await claims.history(TENANT, session, before=task))

    await claims.record(held, RunUpdate(history=history))

    assert (await task_repository(indexed_database).get(TENANT, task.id)).history == history


async def test_citations_of_another_form_leave_the_answer_without_them(indexed_database: Database) -> None:
    session = SessionId(str(uuid.uuid4()))
    claims = claim_repository(indexed_database)
    old, first = await claimed_task(indexed_database, session_id=session)
    await claims.complete(first, RunUpdate(), RESULT)
    newer = [*(citation.model_dump() for citation in RESULT.citations), {"page": 7}]
    await indexed_database["tasks"].update_one({"_id": old.id}, {"$set": {"result.citations": newer}})
    later, _ = await claimed_task(indexed_database, session_id=session)

    history = await claims.history(TENANT, session, before=later)

    assert [(message.content, message.citations) for message in history][-1] == ("long $text", ())


async def test_a_claim_whose_answer_never_came_is_put_back_and_is_no_crash(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    claims = claim_repository(indexed_database)

    await claims.abandon(task.id, ClaimId("another"))
    assert (await task_repository(indexed_database).get(TENANT, task.id)).status is TaskStatus.PROCESSING

    await claims.abandon(task.id, held.claim_id)
    await claims.abandon(task.id, held.claim_id)
    stored = await task_repository(indexed_database).get(TENANT, task.id)
    assert (stored.status, stored.crashes, stored.handbacks) == (TaskStatus.QUEUED, 0, 1)
    assert (stored.lease, stored.dispatched_at) == (None, None)


async def test_a_task_without_messages_can_be_completed(indexed_database: Database) -> None:
    task, held = await claimed_task(indexed_database)
    await indexed_database["tasks"].update_one({"_id": task.id}, {"$unset": {"messages": ""}})

    assert await claim_repository(indexed_database).complete(held, RunUpdate(), RESULT)

    stored = await task_repository(indexed_database).get(TENANT, task.id)
    assert [message.content for message in stored.messages] == [RESULT.raw_output]


async def test_a_long_answer_is_in_the_document_once(indexed_database: Database) -> None:
    session = SessionId(str(uuid.uuid4()))
    claims = claim_repository(indexed_database)
    task, held = await claimed_task(indexed_database, session_id=session)
    answer = "A long answer, $rev. " * 5_000
    await claims.complete(held, RunUpdate(), RESULT.model_copy(update={"raw_output": answer}))

    document = await indexed_database["tasks"].find_one({"_id": task.id})
    later, _ = await claimed_task(indexed_database, session_id=session)
    history = await claims.history(TENANT, session, before=later)
    shown = await MongoSessionRepository(indexed_database).messages(TENANT, session, limit=10)
    await MongoProjectionRepository(indexed_database, patience_seconds=0).project([task.id])
    copy = await indexed_database["messages"].find_one({"task_id": task.id, "role": "assistant"})

    assert len(encode(document or {})) < 1.1 * len(answer)
    assert (await task_repository(indexed_database).get(TENANT, task.id)).messages[-1].content == answer
    assert [message.content for message in history] == [task.task, answer]
    assert history[-1].citations == RESULT.citations
    assert [message.content for message in shown] == [task.task, answer, later.task]
    assert (copy or {})["content"] == answer


async def test_a_version_that_knows_nothing_of_it_shows_the_beginning_of_a_long_answer(
    indexed_database: Database,
) -> None:
    """During a rolling update an older API or worker reads the messages of a document as they are stored."""
    task, held = await claimed_task(indexed_database)
    answer = "word " * 5_000
    await claim_repository(indexed_database).complete(
        held, RunUpdate(), RESULT.model_copy(update={"raw_output": answer})
    )

    document = await indexed_database["tasks"].find_one({"_id": task.id}) or {}

    stored = Message.model_validate(document["messages"][-1])
    assert stored.content == answer[:BEGINNING_CHARACTERS] + CUT_MARK
    assert document["result"]["raw_output"] == answer


async def test_history_is_read_no_further_than_any_prompt_can_hold(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "HISTORY_CHARACTERS", 100)
    session = SessionId(str(uuid.uuid4()))
    claims = claim_repository(indexed_database)
    for number in range(3):
        _, held = await claimed_task(indexed_database, text=f"question {number}", session_id=session)
        result = RESULT.model_copy(update={"raw_output": f"{number}" * 60})
        await claims.complete(held, RunUpdate(), result)
    later, _ = await claimed_task(indexed_database, session_id=session)

    history = await claims.history(TENANT, session, before=later)

    assert [message.content for message in history] == ["question 2", "2" * 60]
