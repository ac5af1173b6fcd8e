"""A run from claim to end on a real store, with a scripted model: every way out is one stored end, or none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from app.agents.base import AgentContext, journaled
from app.agents.registry import AgentRegistry, build_registry
from app.agents.testing import Reply, ScriptedLLM, ScriptedSearch, build_hit
from app.domain.agent import AgentCard, AgentOutput
from app.domain.identity import TaskId
from app.domain.message import Message
from app.domain.task import Budget, Requeue, Task, TaskStatus
from app.domain.usage import ModelAttempt, Usage
from app.errors import BudgetExceeded, ClaimLost, LLMRateLimited, LLMUnavailable, StoreError, StoreUnavailable
from app.llm.interface import BoundLLM, CallScope, ChatMessage, ModelRole
from app.ports import RunUpdate
from app.settings import AgentSettings, ExecutionSettings, ProcessSettings, load_settings
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.claims import MongoClaimRepository
from app.storage.mongo import Database
from app.system_clock import SystemClock
from app.telemetry.metrics import WorkerMetrics
from app.telemetry.tracing import Tracing
from tests.support.doubles import MemoryDrains
from tests.support.tasks import TENANT, claim_repository, new_task, task_repository
from worker.consumption import Consumption
from worker.draining import Draining
from worker.executor import Executor
from worker.leases import Interruption, LeaseKeeper
from worker.recent import RecentWork
from worker.run_context import RunParts
from worker.store_watch import StoreWatch

ROUTED = {"agent_name": "CodeAgent", "confidence": 0.93, "reasoning": "It asks for code.", "alternatives": []}
CODE = "Here it is:\n\n```python\nprint('tide')\n```\n"
UPPER = Usage(input_tokens=100, output_tokens=100, cost_microusd=1_000)


class MeteredLLM(ScriptedLLM):
    """A scripted model that asks for permission and reports its attempts, as the gateway does."""

    def __init__(self, scope: CallScope, replies: list[Any]) -> None:
        super().__init__(journal=self)  # type: ignore[arg-type]  # of the journal, only `observe` is called
        self._scope = scope
        self._replies = replies

    def observe(self, attempt: ModelAttempt) -> None:
        self._scope.on_attempt(attempt)
        self._scope.allowance.settle(UPPER, attempt.usage)

    async def complete(self, messages: Sequence[ChatMessage], **options: Any) -> Any:
        await self._scope.allowance.reserve(UPPER)
        return await super().complete(messages, **options)

    async def chat(self, messages: Sequence[ChatMessage], **options: Any) -> Any:
        await self._scope.allowance.reserve(UPPER)
        return await super().chat(messages, **options)


class ExecutorHarness:
    """An executor on a real store; `replies` is the script of all models together."""

    def __init__(self, db: Database, *replies: Reply | Callable[..., str], **execution: Any) -> None:
        self.db = db
        self.replies = list(replies)
        self.ended: list[Task] = []
        settings = load_settings(execution=ExecutionSettings(**execution))
        self.claims = claim_repository(db)
        self.directory = MongoAgentDirectory(db)
        self.leases = LeaseKeeper(self.claims, lease_seconds=30, clock=SystemClock())
        self.drains = MemoryDrains()
        self.consumption = Consumption()
        self.store_watch = StoreWatch(self.claims, self.consumption)
        self.draining = Draining(
            self.drains, self.claims, self.leases, self.consumption, worker_id="w1", fetched=lambda: self.fetched
        )
        self.fetched: set[TaskId] = set()
        self.registry: AgentRegistry = build_registry(AgentSettings())
        self.metrics = WorkerMetrics(version="test")
        self.parts: dict[str, Any] = {
            "claims": self.claims,
            "directory": self.directory,
            "leases": self.leases,
            "draining": self.draining,
            "store_watch": self.store_watch,
            "registry": self.registry,
            "bind_llm": self.bind,
            "search": ScriptedSearch(),
            "on_end": self.ended.append,
            "recent": RecentWork(SystemClock()),
            "settings": settings,
            "metrics": self.metrics.tasks,
            "tracing": Tracing(ProcessSettings(), process="worker", version="test"),
            "clock": SystemClock(),
        }

    def bind(self, scope: CallScope) -> BoundLLM:
        return MeteredLLM(scope, self.replies)

    def executor(self, **parts: Any) -> Executor:
        return Executor(RunParts(**{**self.parts, **parts}))

    async def submit(self, **fields: Any) -> Task:
        return (await task_repository(self.db).insert(new_task(**fields), dispatched=True, new_session=True)).task

    async def run(self, **fields: Any) -> Task:
        task = await self.submit(**fields)
        await self.executor().run(task.id)
        return await self.stored(task)

    async def stored(self, task: Task) -> Task:
        return await task_repository(self.db).get(TENANT, task.id)


class SlowEnd(MongoClaimRepository):
    """A claim repository that stores no result before `go_on` is set."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.storing, self.go_on = asyncio.Event(), asyncio.Event()

    async def complete(self, *arguments: Any) -> bool:
        self.storing.set()
        await self.go_on.wait()
        return await super().complete(*arguments)


class CallingAgent:
    """An agent whose whole work is one function."""

    card = AgentCard(name="CallingAgent", agent_type="calling", description="Calls.", version="1")

    def __init__(self, work: Callable[[AgentContext], Awaitable[str]]) -> None:
        self._work = work

    async def run(self, context: AgentContext) -> AgentOutput:
        return AgentOutput(agent_name=self.card.name, content=await self._work(context))


async def test_a_routed_task_ends_with_answer_routing_usage_and_journal(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database, ROUTED, CODE)

    task = await harness.run()

    assert task.status is TaskStatus.COMPLETED
    assert (task.selected_agent, task.agent_type) == ("CodeAgent", "code")
    assert task.routing is not None
    assert task.routing.confidence == 0.93
    assert task.peer_routing_reason == "It asks for code."
    assert task.result is not None
    assert task.result.raw_output.strip() == CODE.strip()
    assert task.result.code_language == "python"
    assert task.usage == Usage(input_tokens=20, output_tokens=10, cost_microusd=60)
    assert [step.node for step in task.ordered_steps()][:2] == ["classify_task", "route_to_agent"]
    assert all(len(step.attempts) == 1 for step in task.steps.values() if step.node in ("classify_task", "generate"))
    assert [event.name for event in task.events] == ["task_queued", "task_claimed", "task_routed", "task_completed"]
    assert [ended.id for ended in harness.ended] == [task.id]


async def test_a_two_step_task_takes_four_writes(indexed_database: Database) -> None:
    task = await ExecutorHarness(indexed_database, ROUTED, CODE).run()

    assert task.rev == 4  # insert with its dispatch, claim, routing, finish


async def test_the_result_is_stored_once(indexed_database: Database) -> None:
    task = await ExecutorHarness(indexed_database, ROUTED, lambda _: "x" * 1000).run()

    document = await indexed_database["tasks"].find_one({"_id": task.id}, {"steps": 1})
    assert "x" * 1000 not in str(document)


async def test_a_pinned_agent_skips_the_router(indexed_database: Database) -> None:
    task = await ExecutorHarness(indexed_database, CODE).run(agent="CodeAgent")

    assert task.status is TaskStatus.COMPLETED
    assert task.routing is not None
    assert task.routing.confidence is None


async def test_a_task_nobody_can_do_fails_and_its_tokens_count(indexed_database: Database) -> None:
    task = await ExecutorHarness(indexed_database, {**ROUTED, "agent_name": "Unknown", "confidence": 0.9}).run()

    assert task.status is TaskStatus.FAILED
    assert task.error is not None
    assert task.error.type == "UNKNOWN_TASK_TYPE"
    assert task.usage.total_tokens == 15
    assert "classify_task#1" in task.steps


async def test_a_transient_failure_waits_and_resumes_without_paying_twice(indexed_database: Database) -> None:
    harness = ExecutorHarness(
        indexed_database, ROUTED, LLMUnavailable("down"), retry_base_seconds=0.01, retry_cap_seconds=0.01
    )
    task = await harness.run()
    assert (task.status, task.retries) == (TaskStatus.QUEUED, 1)
    assert "classify_task#1" in task.steps

    harness.replies.append(CODE)
    await indexed_database["tasks"].update_one({"_id": task.id}, [{"$set": {"dispatched_at": "$$NOW"}}])
    await harness.executor().run(task.id)

    done = await harness.stored(task)
    assert done.status is TaskStatus.COMPLETED
    assert done.attempts == 2
    assert done.usage.total_tokens == 30
    assert done.steps["generate#1~1"].output == {"error": "LLM_UNAVAILABLE"}


async def test_a_rate_limit_postpones_as_long_as_the_provider_asks(indexed_database: Database) -> None:
    task = await ExecutorHarness(indexed_database, ROUTED, LLMRateLimited("429", retry_after_seconds=30)).run(
        max_attempts=1
    )

    assert (task.status, task.postponed, task.retries) == (TaskStatus.QUEUED, 1, 0)
    assert task.due_at is not None
    assert (task.due_at - task.queued_at).total_seconds() >= 30


async def test_a_fault_of_an_agent_fails_the_task_and_keeps_its_text_out_of_the_error(
    indexed_database: Database,
) -> None:
    async def broken(_: AgentContext) -> str:
        raise KeyError("a secret of the user")

    harness = ExecutorHarness(indexed_database)
    registry = AgentRegistry([("test", CallingAgent(broken))])
    task = await harness.submit(agent="CallingAgent")
    await harness.executor(registry=registry).run(task.id)

    stored = await harness.stored(task)
    assert stored.error is not None
    assert stored.error.type == "AGENT_FAULT"
    assert "secret" not in stored.error.message


async def test_an_agent_that_nobody_has_fails_and_one_of_another_version_is_handed_back(
    indexed_database: Database,
) -> None:
    harness = ExecutorHarness(indexed_database)
    unknown = await harness.run(agent="NobodyAgent")
    await harness.directory.publish([AgentCard(name="NewAgent", agent_type="new", description="n", version="2")])
    newer = await harness.run(agent="NewAgent")

    assert unknown.error is not None
    assert unknown.error.type == "AGENT_UNAVAILABLE"
    assert (newer.status, newer.handbacks) == (TaskStatus.QUEUED, 1)


async def test_a_task_beyond_its_deadline_fails(indexed_database: Database) -> None:
    async def endless(_: AgentContext) -> str:
        await asyncio.Event().wait()
        return ""

    harness = ExecutorHarness(indexed_database)
    registry = AgentRegistry([("test", CallingAgent(endless))])
    task = await harness.submit(agent="CallingAgent", deadline_seconds=1)
    await harness.executor(registry=registry).run(task.id)

    stored = await harness.stored(task)
    assert stored.error is not None
    assert stored.error.type == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("end", ["deadline", "cancel"])
async def test_an_agent_that_swallows_cancels_neither_keeps_its_task_nor_makes_calls(
    indexed_database: Database, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.supervision.STOP_SECONDS", 0.1)
    begun, over = asyncio.Event(), asyncio.Event()
    late: list[BaseException] = []

    async def stubborn(context: AgentContext) -> str:
        begun.set()
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()
        try:
            await context.llm.chat([ChatMessage("user", "once more")], role=ModelRole.PRIMARY)
        except BaseException as error:
            late.append(error)
            raise
        return "late"

    harness = ExecutorHarness(indexed_database, "an answer that nobody pays for")
    registry = AgentRegistry([("test", CallingAgent(stubborn))])
    task = await harness.submit(agent="CallingAgent", deadline_seconds=1 if end == "deadline" else 60)
    run = asyncio.create_task(harness.executor(registry=registry).run(task.id))
    await begun.wait()
    if end == "cancel":
        await task_repository(indexed_database).request_cancel(TENANT, task.id)
        await harness.leases.beat()
    await run

    stored = await harness.stored(task)
    expected = (TaskStatus.CANCELLED, None) if end == "cancel" else (TaskStatus.FAILED, "DEADLINE_EXCEEDED")
    assert (stored.status, stored.error and stored.error.type) == expected
    assert not harness.leases.held
    (agent,) = [one for one in asyncio.all_tasks() if one.get_name() == f"agent-{task.id}"]
    over.set()
    await asyncio.wait([agent])
    assert [type(error) for error in late] == [ClaimLost]
    assert await harness.stored(task) == stored


async def test_an_agent_that_cancels_itself_fails_its_task(indexed_database: Database) -> None:
    async def rash(_: AgentContext) -> str:
        agent = asyncio.current_task()
        assert agent is not None
        agent.cancel()
        await asyncio.sleep(0)
        return "never"

    harness = ExecutorHarness(indexed_database)
    task = await harness.submit(agent="CallingAgent")
    await harness.executor(registry=AgentRegistry([("test", CallingAgent(rash))])).run(task.id)

    stored = await harness.stored(task)
    assert stored.error is not None
    assert stored.error.type == "AGENT_FAULT"


async def test_a_budget_stops_the_task_before_the_call_that_could_pass_it(indexed_database: Database) -> None:
    task = await ExecutorHarness(indexed_database, ROUTED, CODE).run(budget=Budget(max_tokens=210))

    assert task.error is not None
    assert task.error.type == BudgetExceeded.code
    assert task.usage.total_tokens == 15
    assert task.spending.settled.total_tokens == 15


async def test_the_open_reservation_of_a_dead_process_counts_as_spent(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database, ROUTED, CODE)
    task = await harness.submit(budget=Budget(max_tokens=300))
    await indexed_database["tasks"].update_one(
        {"_id": task.id}, {"$set": {"spending": {"reserved": {"input_tokens": 150, "output_tokens": 0}}}}
    )

    await harness.executor().run(task.id)

    stored = await harness.stored(task)
    assert stored.error is not None
    assert stored.error.type == BudgetExceeded.code


async def test_a_cancel_during_a_call_ends_the_task_at_once(indexed_database: Database) -> None:
    calling = asyncio.Event()

    async def hanging(_: AgentContext) -> str:
        calling.set()
        await asyncio.Event().wait()
        return ""

    harness = ExecutorHarness(indexed_database)
    task = await harness.submit(agent="CallingAgent")
    registry = AgentRegistry([("test", CallingAgent(hanging))])
    run = asyncio.create_task(harness.executor(registry=registry).run(task.id))
    await calling.wait()
    await task_repository(indexed_database).request_cancel(TENANT, task.id)
    await harness.leases.beat()
    await run

    assert (await harness.stored(task)).status is TaskStatus.CANCELLED


async def test_a_lost_claim_writes_nothing(indexed_database: Database) -> None:
    calling, go_on = asyncio.Event(), asyncio.Event()

    async def waiting(_: AgentContext) -> str:
        calling.set()
        await go_on.wait()
        return "late"

    harness = ExecutorHarness(indexed_database)
    task = await harness.submit(agent="CallingAgent")
    registry = AgentRegistry([("test", CallingAgent(waiting))])
    run = asyncio.create_task(harness.executor(registry=registry).run(task.id))
    await calling.wait()
    (held,) = harness.leases.held.values()
    assert await harness.claims.requeue(held.claim, RunUpdate(), reason=Requeue.CRASH, delay_seconds=0, error=None)
    go_on.set()
    await run

    stored = await harness.stored(task)
    assert (stored.status, stored.result) == (TaskStatus.QUEUED, None)
    assert harness.ended == []


async def test_a_worker_that_stops_hands_back_at_a_node_boundary_and_another_resumes(
    indexed_database: Database,
) -> None:
    ran: list[str] = []

    async def agent_work(context: AgentContext) -> str:
        class Run:
            def __init__(self) -> None:
                self.context = context

        async def first(_state: Any, _runtime: Any) -> dict[str, Any]:
            ran.append("first")
            harness.leases.hand_back_all()
            return {"content": "one"}

        async def second(_state: Any, _runtime: Any) -> dict[str, Any]:
            ran.append("second")
            return {"content": "two"}

        node: Any
        output: dict[str, Any] = {}
        for node in (first, second):
            output = await journaled(node, agent_name="CallingAgent")({"task": context.task.task}, runtime=Run())  # type: ignore[arg-type]  # a run without LangGraph
        return str(output["content"])

    harness = ExecutorHarness(indexed_database)
    registry = AgentRegistry([("test", CallingAgent(agent_work))])
    task = await harness.submit(agent="CallingAgent")
    await harness.executor(registry=registry).run(task.id)
    handed_back = await harness.stored(task)
    assert (handed_back.status, handed_back.handbacks, ran) == (TaskStatus.QUEUED, 1, ["first"])

    await indexed_database["tasks"].update_one({"_id": task.id}, [{"$set": {"dispatched_at": "$$NOW"}}])
    await ExecutorHarness(indexed_database).executor(registry=registry).run(task.id)

    done = await harness.stored(task)
    assert (done.status, ran) == (TaskStatus.COMPLETED, ["first", "second"])


async def test_a_second_ticket_for_a_finished_task_changes_nothing(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database, CODE)
    done = await harness.run(agent="CodeAgent")

    await harness.executor().run(done.id)

    assert await harness.stored(done) == done


async def test_a_follow_up_sees_the_sessions_first_answer(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database, CODE, "explained")
    first = await harness.run(agent="CodeAgent")
    second = (
        await task_repository(indexed_database).insert(
            new_task("Explain it", session_id=first.session_id, agent="CodeAgent"), dispatched=True, new_session=False
        )
    ).task
    await harness.executor().run(second.id)

    stored = await harness.stored(second)
    assert stored.history is not None
    assert [message.role.value for message in stored.history] == ["user", "assistant"]


TIDES = [build_hit(f"https://tides.net/{page}", title=page) for page in ("moon", "cost", "sea")]
HEAT = [build_hit("https://heat.net/well", title="well")]


def plan(*queries: str) -> dict[str, Any]:
    return {"title": "t", "outline": ["o"], "queries": list(queries)}


async def ask(harness: ExecutorHarness, text: str, *replies: Any, session: Task | None = None) -> Task:
    """Runs a task of ContentAgent, in the session of an earlier one if that is given."""
    harness.replies += replies
    fields = {"session_id": session.session_id} if session is not None else {}
    task = (
        await task_repository(harness.db).insert(
            new_task(text, agent="ContentAgent", **fields), dispatched=True, new_session=session is None
        )
    ).task
    search = ScriptedSearch({"tides": TIDES, "heat": HEAT})
    await harness.executor(search=search).run(task.id)
    return await harness.stored(task)


def cited(task: Task) -> list[str]:
    assert task.result is not None
    return [citation.url for citation in task.result.citations]


def answer_of(task: Task) -> str:
    assert task.result is not None
    return task.result.raw_output


async def test_a_conversation_keeps_its_sources_over_four_turns(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database)
    draft = "The moon pulls [1]. It became 40 % cheaper [2]. The sea rises [3]."
    first = await ask(harness, "Write about tidal energy", plan("tides"), draft)
    shorter = await ask(harness, "Make it shorter, keep the sources", plan(), "40 % cheaper [2].", session=first)
    compared = await ask(harness, "Compare", plan("heat"), "Steady [4], 40 % cheaper [2].", session=first)
    links = await ask(
        harness,
        "Give me the links",
        plan(),
        "1. <https://tides.net/cost>\n2. [well](https://heat.net/well)",
        session=first,
    )

    assert cited(first) == [hit.url for hit in TIDES]
    assert cited(shorter) == ["https://tides.net/cost"]
    assert answer_of(shorter) == "40 % cheaper [1].\n\n## Sources\n\n1. cost — https://tides.net/cost"
    assert cited(compared) == ["https://heat.net/well", "https://tides.net/cost"]
    assert answer_of(compared).startswith("Steady [1], 40 % cheaper [2].")
    assert cited(links) == ["https://tides.net/cost", "https://heat.net/well"]
    assert "removed" not in answer_of(links)


async def test_a_follow_up_that_is_resumed_gets_the_recorded_sources_and_pays_nothing_twice(
    indexed_database: Database,
) -> None:
    harness = ExecutorHarness(indexed_database, retry_base_seconds=0.01, retry_cap_seconds=0.01)
    first = await ask(harness, "Write about tidal energy", plan("tides"), "The moon pulls [1]. Cheaper [2].")
    task = await ask(harness, "Compare", plan("heat"), LLMUnavailable("down"), session=first)
    assert task.status is TaskStatus.QUEUED
    # A later answer of the session must not change the inputs of this one.
    await ask(harness, "Write about the sea", plan("tides"), "The sea rises [3].", session=first)

    await indexed_database["tasks"].update_one({"_id": task.id}, [{"$set": {"dispatched_at": "$$NOW"}}])
    harness.replies.append("Steady [3], cheaper [2].")
    await harness.executor(search=ScriptedSearch()).run(task.id)

    done = await harness.stored(task)
    assert done.status is TaskStatus.COMPLETED
    assert cited(done) == ["https://heat.net/well", "https://tides.net/cost"]
    assert [step.key for step in done.ordered_steps()].count("plan#1") == 1
    assert done.usage.total_tokens == 30


async def test_an_outage_while_the_history_is_read_delays_the_task(indexed_database: Database) -> None:
    class UnavailableOnce(MongoClaimRepository):
        asked = 0

        async def history(self, *arguments: Any, **options: Any) -> Sequence[Message]:
            self.asked += 1
            if self.asked == 1:
                raise StoreUnavailable("unavailable")
            return await super().history(*arguments, **options)

    harness = ExecutorHarness(indexed_database, CODE)
    task = (
        await task_repository(indexed_database).insert(new_task(agent="CodeAgent"), dispatched=True, new_session=False)
    ).task
    claims = UnavailableOnce(indexed_database, owner="worker-a", lease_seconds=30)
    await harness.executor(claims=claims).run(task.id)

    assert (await harness.stored(task)).status is TaskStatus.COMPLETED
    assert claims.asked == 2


async def test_an_end_that_the_database_refuses_fails_the_task_without_its_texts(indexed_database: Database) -> None:
    class Refusing(MongoClaimRepository):
        async def complete(self, *arguments: Any) -> bool:
            raise StoreError("refused")

    harness = ExecutorHarness(indexed_database, CODE)
    task = await harness.submit(agent="CodeAgent")
    await harness.executor(claims=Refusing(indexed_database, owner="worker-a", lease_seconds=30)).run(task.id)

    stored = await harness.stored(task)
    assert stored.error is not None
    assert (stored.error.type, stored.result) == ("AGENT_FAULT", None)


async def test_a_cancel_that_comes_while_the_answer_is_stored_is_too_late(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database, CODE)
    task = await harness.submit(agent="CodeAgent")
    claims = SlowEnd(indexed_database, owner="worker-a", lease_seconds=30)
    run = asyncio.create_task(harness.executor(claims=claims).run(task.id))
    await claims.storing.wait()
    harness.leases.interrupt_task(task.id, Interruption.CANCELLED)
    claims.go_on.set()
    await run

    assert (await harness.stored(task)).status is TaskStatus.COMPLETED
    assert [ended.id for ended in harness.ended] == [task.id]


@pytest.mark.parametrize(
    ("reason", "stored", "ended"), [(Interruption.LOST, "completed", 1), (Interruption.ABANDONED, "processing", 0)]
)
async def test_the_fence_decides_about_an_end_under_way_unless_the_run_is_abandoned(
    indexed_database: Database, reason: Interruption, stored: str, ended: int
) -> None:
    harness = ExecutorHarness(indexed_database, CODE)
    task = await harness.submit(agent="CodeAgent")
    claims = SlowEnd(indexed_database, owner="worker-a", lease_seconds=30)
    run = asyncio.create_task(harness.executor(claims=claims).run(task.id))
    await claims.storing.wait()
    harness.leases.interrupt_task(task.id, reason)
    if reason is Interruption.LOST:
        claims.go_on.set()
    await run

    assert ((await harness.stored(task)).status, len(harness.ended)) == (TaskStatus(stored), ended)


async def test_a_cancelled_run_whose_end_cannot_be_stored_is_abandoned(indexed_database: Database) -> None:
    storing = asyncio.Event()

    class Silent(MongoClaimRepository):
        async def cancel(self, *arguments: Any) -> bool:
            storing.set()
            raise StoreUnavailable("unavailable")

    async def waiting(_: AgentContext) -> str:
        calling.set()
        await asyncio.Event().wait()
        return "never"

    calling = asyncio.Event()
    harness = ExecutorHarness(indexed_database)
    task = await harness.submit(agent="CallingAgent")
    parts = {
        "registry": AgentRegistry([("test", CallingAgent(waiting))]),
        "claims": Silent(indexed_database, owner="worker-a", lease_seconds=30),
    }
    run = asyncio.create_task(harness.executor(**parts).run(task.id))
    await calling.wait()
    harness.leases.interrupt_task(task.id, Interruption.CANCELLED)
    await storing.wait()
    harness.leases.interrupt_task(task.id, Interruption.ABANDONED)
    async with asyncio.timeout(5):
        await run

    assert (await harness.stored(task)).status is TaskStatus.PROCESSING


async def test_a_worker_that_hands_back_claims_nothing_new(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database, CODE)
    harness.leases.hand_back_all()

    task = await harness.run(agent="CodeAgent")

    assert (task.status, task.attempts) == (TaskStatus.QUEUED, 0)


async def test_a_hand_back_releases_its_reservation(indexed_database: Database) -> None:
    harness = ExecutorHarness(indexed_database, ROUTED, CODE)
    task = await harness.submit(budget=Budget(max_tokens=1_000))

    def bind_and_stop(scope: CallScope) -> BoundLLM:
        for held in harness.leases.held.values():
            held.hand_back = True
        return harness.bind(scope)

    await harness.executor(bind_llm=bind_and_stop).run(task.id)

    stored = await harness.stored(task)
    assert (stored.handbacks, stored.spending.reserved.total_tokens) == (1, 0)
