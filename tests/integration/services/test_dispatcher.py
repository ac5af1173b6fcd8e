"""Dispatch and repair on a real store: no ticket twice, no task forgotten, no decision without an answer from Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.api_key import KeyLimits
from app.domain.fairness import QUARANTINE_CRASHES, Lane, TenantPolicy
from app.domain.identity import Role, Tenant
from app.domain.task import Task
from app.errors import BrokerUnavailable
from app.ports import WaitingTask
from app.services.dispatcher import Dispatcher
from app.services.policies import TenantPolicies
from app.services.window import SMALLEST_WINDOW, TicketWindow
from app.storage.api_keys import MongoApiKeyRepository
from app.storage.dispatch import MongoDispatchRepository
from app.storage.mongo import Database
from app.storage.writes import milliseconds
from tests.support.doubles import ManualClock, MemoryQueue, presence
from tests.support.tasks import TENANT, new_task, task_repository


class DispatcherHarness:
    """A dispatcher on a real store and a queue in memory."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.queue = MemoryQueue()
        self.clock = ManualClock()
        self.window = TicketWindow(self.queue, MongoDispatchRepository(db), self.clock)
        self.keys = MongoApiKeyRepository(db)
        self.dispatcher = Dispatcher(
            MongoDispatchRepository(db),
            self.queue,
            self.window,
            TenantPolicies(self.keys, TenantPolicy(), self.clock),
            self.clock,
        )

    async def submit(self, *, dispatched: bool = False, tenant: Tenant = TENANT) -> Task:
        task = new_task().model_copy(update={"tenant": tenant})
        return (await task_repository(self.db).insert(task, dispatched=dispatched, new_session=True)).task

    async def age_tickets(self) -> None:
        """Moves the time of every ticket a minute back."""
        earlier = {"$toDate": {"$subtract": [milliseconds("$dispatched_at"), 60_000]}}
        await self.db["tasks"].update_many({"dispatched_at": {"$ne": None}}, [{"$set": {"dispatched_at": earlier}}])


async def test_the_backlog_flows_through_the_window(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    tasks = [await harness.submit() for _ in range(SMALLEST_WINDOW + 2)]

    assert await harness.dispatcher.dispatch()
    assert harness.window.backlog
    assert len(harness.queue.tickets) == SMALLEST_WINDOW
    harness.queue.tickets.clear()
    assert not await harness.dispatcher.dispatch()

    assert [ticket.task_id for ticket in harness.queue.tickets] == [task.id for task in tasks[-2:]]
    assert harness.queue.tickets[0].dispatch_seq == 1


async def test_a_process_that_steps_down_forgets_the_backlog(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    for _ in range(SMALLEST_WINDOW + 1):
        await harness.submit()
    await harness.dispatcher.dispatch()

    harness.dispatcher.step_down()

    assert harness.window.backlog is None


async def test_a_full_window_sends_nothing(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    harness.queue.workers = [presence(slots=4, running=("a", "b", "c", "d"))]
    for _ in range(SMALLEST_WINDOW):
        await harness.submit()
    await harness.dispatcher.dispatch()
    sent = len(harness.queue.tickets)
    await harness.submit()
    harness.clock.advance(2)

    assert await harness.dispatcher.dispatch()
    assert len(harness.queue.tickets) == sent


async def test_during_an_outage_of_redis_nothing_is_released(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    await harness.submit()
    harness.queue.down = True

    with pytest.raises(BrokerUnavailable):
        await harness.dispatcher.dispatch()
    harness.queue.down = False
    harness.clock.advance(2)
    await harness.dispatcher.dispatch()

    assert len(harness.queue.tickets) == 1


async def test_a_queue_that_takes_no_tickets_has_no_more_tasks_released_than_one_window(
    indexed_database: Database,
) -> None:
    harness = DispatcherHarness(indexed_database)
    for _ in range(3 * SMALLEST_WINDOW):
        await harness.submit()
    harness.queue.fault = BrokerUnavailable("the queue is full")
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            await harness.dispatcher.dispatch()
        harness.window.after_insert(await harness.submit(dispatched=True), True)
        await harness.window.drain()
        harness.clock.advance(2)
    assert await indexed_database["tasks"].count_documents({"dispatched_at": {"$ne": None}}) == 0

    harness.queue.fault = None
    await harness.dispatcher.dispatch()
    assert len(harness.queue.tickets) == SMALLEST_WINDOW


async def test_a_lost_ticket_is_sent_again(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    lost, listed, running = [await harness.submit(dispatched=True) for _ in range(3)]
    harness.window.after_insert(listed, True)
    await harness.window.drain()
    harness.queue.workers = [presence(running=(running.id,))]
    await harness.age_tickets()

    assert await harness.dispatcher.repair() == 1

    assert harness.queue.tickets[-1].task_id == lost.id
    assert harness.queue.tickets[-1].dispatch_seq == 2
    assert (await task_repository(indexed_database).get(TENANT, lost.id)).dispatch_seq == 2


async def test_many_lost_tickets_are_sent_again_in_parts_the_oldest_first(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.dispatcher.RESENT_TOGETHER", 2)
    harness = DispatcherHarness(indexed_database)
    lost = [await harness.submit(dispatched=True) for _ in range(5)]
    await harness.age_tickets()
    earlier = {"$set": {"dispatched_at": datetime(2026, 1, 1, tzinfo=UTC)}}
    await indexed_database["tasks"].update_one({"_id": lost[2].id}, earlier)

    assert await harness.dispatcher.repair() == 5

    first, *others = [ticket.task_id for ticket in harness.queue.tickets]
    assert first == lost[2].id
    assert sorted(others) == sorted(task.id for task in lost if task.id != first)
    assert {ticket.dispatch_seq for ticket in harness.queue.tickets} == {2}
    assert harness.queue.publishes == 3
    assert await harness.dispatcher.repair() == 0


async def test_a_fresh_ticket_is_not_taken_for_lost(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    await harness.submit(dispatched=True)

    assert await harness.dispatcher.repair() == 0


async def test_no_answer_from_the_broker_is_not_an_empty_list(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    await harness.submit(dispatched=True)
    await harness.age_tickets()
    harness.queue.down = True

    with pytest.raises(BrokerUnavailable):
        await harness.dispatcher.repair()

    assert (await indexed_database["tasks"].find_one({}) or {})["dispatch_seq"] == 1


async def test_a_small_tenant_does_not_wait_for_a_large_one(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    for _ in range(3 * SMALLEST_WINDOW):
        await harness.submit(tenant=Tenant("large"))
    await harness.dispatcher.dispatch()
    single = await harness.submit(tenant=Tenant("small"))
    harness.dispatcher.record_waiting("small")
    harness.queue.tickets.clear()

    await harness.dispatcher.dispatch()

    assert harness.queue.tickets[0].task_id == single.id

    another = await harness.submit(tenant=Tenant("small"))
    harness.dispatcher.record_waiting("small")
    await indexed_database["tasks"].update_one({"_id": single.id}, {"$set": {"status": "completed"}})
    harness.queue.tickets.clear()
    await harness.dispatcher.dispatch()

    assert harness.queue.tickets[0].task_id == another.id


async def test_a_tenant_at_its_limit_waits_and_others_go_on(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    limits = KeyLimits(max_running=1)
    await harness.keys.create(name="k", tenant=Tenant("narrow"), role=Role.CLIENT, sha256="a" * 64, limits=limits)
    for _ in range(3):
        await harness.submit(tenant=Tenant("narrow"))
    other = await harness.submit()

    assert await harness.dispatcher.dispatch()
    sent = {ticket.task_id for ticket in harness.queue.tickets}
    assert len(sent) == 2
    assert other.id in sent

    assert await harness.dispatcher.dispatch()
    assert len(harness.queue.tickets) == 2


async def test_without_workers_one_suspect_is_released_at_a_time(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    poison = [await harness.submit() for _ in range(2)]
    quarantined = {"crashes": QUARANTINE_CRASHES, "lane": Lane.QUARANTINED.value}
    await indexed_database["tasks"].update_many({}, {"$set": quarantined})
    calm = await harness.submit()

    assert await harness.dispatcher.dispatch()
    assert {ticket.task_id for ticket in harness.queue.tickets} == {poison[0].id, calm.id}
    assert await harness.dispatcher.dispatch()
    assert len(harness.queue.tickets) == 2

    await indexed_database["tasks"].update_one({"_id": poison[0].id}, {"$set": {"status": "failed"}})
    assert not await harness.dispatcher.dispatch()
    assert harness.queue.tickets[-1].task_id == poison[1].id


async def test_after_the_loss_of_a_whole_pool_half_of_the_slots_go_to_its_tasks(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    harness.queue.workers = [presence(slots=12)]
    for _ in range(12):
        await harness.submit()
    quarantined = {"crashes": QUARANTINE_CRASHES, "lane": Lane.QUARANTINED.value}
    await indexed_database["tasks"].update_many({}, {"$set": quarantined})

    await harness.dispatcher.dispatch()

    assert len(harness.queue.tickets) == 6


async def test_tenants_without_a_turn_are_not_asked_for_their_tasks(
    indexed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = DispatcherHarness(indexed_database)
    for number in range(3 * SMALLEST_WINDOW):
        await harness.submit(tenant=Tenant(f"t{number:02}"))
    asked: list[Tenant] = []
    find_waiting = MongoDispatchRepository.find_waiting

    async def record(
        self: MongoDispatchRepository, lane: Lane, tenants: Sequence[Tenant], limit: int
    ) -> Mapping[Tenant, Sequence[WaitingTask]]:
        asked.extend(tenants)
        return await find_waiting(self, lane, tenants, limit)

    monkeypatch.setattr(MongoDispatchRepository, "find_waiting", record)
    for _ in range(3):
        await harness.dispatcher.dispatch()
        await indexed_database["tasks"].update_many({"dispatched_at": {"$ne": None}}, {"$set": {"status": "completed"}})
        harness.queue.tickets.clear()

    assert asked == [f"t{number:02}" for number in range(3 * SMALLEST_WINDOW)]
    assert await indexed_database["tasks"].count_documents({"status": "queued"}) == 0


async def test_a_tenant_without_due_tasks_does_not_keep_the_dispatcher_busy(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    harness.dispatcher.record_waiting("nobody")

    assert not await harness.dispatcher.dispatch()


async def test_a_task_that_becomes_due_is_released_though_nothing_else_happens(indexed_database: Database) -> None:
    harness = DispatcherHarness(indexed_database)
    early = new_task(run_at=datetime.now(UTC) + timedelta(seconds=0.2))
    await task_repository(harness.db).insert(early, dispatched=False, new_session=True)

    async with asyncio.timeout(10):
        while not harness.queue.tickets:
            await harness.dispatcher.dispatch()

    assert harness.queue.tickets[0].task_id == early.id
