"""Dispatch and repair on a real store: nothing sent twice, nothing forgotten, nothing decided without an answer."""

from __future__ import annotations

import pytest

from app.domain.api_key import KeyLimits
from app.domain.fairness import QUARANTINE_CRASHES, TenantPolicy
from app.domain.identity import Role, Tenant
from app.domain.task import Task
from app.errors import BrokerUnavailable
from app.services.dispatcher import Dispatcher
from app.services.policies import TenantPolicies
from app.services.window import SMALLEST_WINDOW, TicketWindow
from app.storage.api_keys import MongoApiKeyRepository
from app.storage.mongo import Database
from tests.support.doubles import ManualClock, MemoryQueue, presence
from tests.support.tasks import TENANT, dispatch_repository, new_task, task_repository


class Bench:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.queue = MemoryQueue()
        self.clock = ManualClock()
        self.window = TicketWindow(self.queue, self.clock)
        self.keys = MongoApiKeyRepository(db)
        self.dispatcher = Dispatcher(
            dispatch_repository(db),
            self.queue,
            self.window,
            TenantPolicies(self.keys, TenantPolicy(), self.clock),
            self.clock,
        )

    async def submit(self, *, dispatched: bool = False, tenant: Tenant = TENANT) -> Task:
        task = new_task().model_copy(update={"tenant": tenant})
        return await task_repository(self.db).insert(task, dispatched=dispatched, new_session=True)

    async def age_tickets(self) -> None:
        """Makes every ticket look as if it had been sent a minute ago."""
        earlier = {"$subtract": ["$dispatched_at", 60_000]}
        await self.db["tasks"].update_many({"dispatched_at": {"$ne": None}}, [{"$set": {"dispatched_at": earlier}}])


async def test_the_backlog_flows_through_the_window(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    tasks = [await bench.submit() for _ in range(SMALLEST_WINDOW + 2)]

    assert await bench.dispatcher.dispatch()
    assert bench.window.backlog
    assert len(bench.queue.tickets) == SMALLEST_WINDOW
    bench.queue.tickets.clear()
    assert not await bench.dispatcher.dispatch()

    assert [ticket.task_id for ticket in bench.queue.tickets] == [task.id for task in tasks[-2:]]
    assert bench.queue.tickets[0].dispatch_seq == 1


async def test_who_no_longer_leads_forgets_the_backlog(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    for _ in range(SMALLEST_WINDOW + 1):
        await bench.submit()
    await bench.dispatcher.dispatch()

    bench.dispatcher.step_down()

    assert bench.window.backlog is None


async def test_a_full_window_sends_nothing(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    bench.queue.workers = [presence(slots=4, running=("a", "b", "c", "d"))]
    for _ in range(SMALLEST_WINDOW):
        await bench.submit()
    await bench.dispatcher.dispatch()
    sent = len(bench.queue.tickets)
    await bench.submit()
    bench.clock.advance(2)

    assert await bench.dispatcher.dispatch()
    assert len(bench.queue.tickets) == sent


async def test_a_broker_that_is_away_releases_nothing(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    await bench.submit()
    bench.queue.down = True

    with pytest.raises(BrokerUnavailable):
        await bench.dispatcher.dispatch()
    bench.queue.down = False
    bench.clock.advance(2)
    await bench.dispatcher.dispatch()

    assert len(bench.queue.tickets) == 1


async def test_a_lost_ticket_is_sent_again(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    lost, listed, running = [await bench.submit(dispatched=True) for _ in range(3)]
    bench.window.after_insert(listed, True)
    await bench.window.drain()
    bench.queue.workers = [presence(running=(running.id,))]
    await bench.age_tickets()

    assert await bench.dispatcher.repair() == 1

    assert bench.queue.tickets[-1].task_id == lost.id
    assert bench.queue.tickets[-1].dispatch_seq == 2
    assert (await task_repository(indexed_database).get(TENANT, lost.id)).dispatch_seq == 2


async def test_a_fresh_ticket_is_not_taken_for_lost(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    await bench.submit(dispatched=True)

    assert await bench.dispatcher.repair() == 0


async def test_no_answer_from_the_broker_is_not_an_empty_list(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    await bench.submit(dispatched=True)
    await bench.age_tickets()
    bench.queue.down = True

    with pytest.raises(BrokerUnavailable):
        await bench.dispatcher.repair()

    assert (await indexed_database["tasks"].find_one({}) or {})["dispatch_seq"] == 1


async def test_a_small_tenant_does_not_wait_for_a_large_one(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    for _ in range(3 * SMALLEST_WINDOW):
        await bench.submit(tenant=Tenant("large"))
    await bench.dispatcher.dispatch()
    single = await bench.submit(tenant=Tenant("small"))
    bench.dispatcher.note_waiting("small")
    bench.queue.tickets.clear()

    await bench.dispatcher.dispatch()

    assert bench.queue.tickets[0].task_id == single.id

    another = await bench.submit(tenant=Tenant("small"))
    bench.dispatcher.note_waiting("small")
    await indexed_database["tasks"].update_one({"_id": single.id}, {"$set": {"status": "completed"}})
    bench.queue.tickets.clear()
    await bench.dispatcher.dispatch()

    assert bench.queue.tickets[0].task_id == another.id


async def test_a_tenant_at_its_limit_waits_and_others_go_on(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    limits = KeyLimits(max_running=1)
    await bench.keys.create(name="k", tenant=Tenant("narrow"), role=Role.CLIENT, sha256="a" * 64, limits=limits)
    for _ in range(3):
        await bench.submit(tenant=Tenant("narrow"))
    other = await bench.submit()

    assert await bench.dispatcher.dispatch()
    sent = {ticket.task_id for ticket in bench.queue.tickets}
    assert len(sent) == 2
    assert other.id in sent

    assert await bench.dispatcher.dispatch()
    assert len(bench.queue.tickets) == 2


async def test_of_the_tasks_that_crash_their_workers_one_runs_at_a_time(indexed_database: Database) -> None:
    bench = Bench(indexed_database)
    poison = [await bench.submit() for _ in range(2)]
    await indexed_database["tasks"].update_many({}, {"$set": {"crashes": QUARANTINE_CRASHES}})
    calm = await bench.submit()

    assert await bench.dispatcher.dispatch()
    assert {ticket.task_id for ticket in bench.queue.tickets} == {poison[0].id, calm.id}
    assert await bench.dispatcher.dispatch()
    assert len(bench.queue.tickets) == 2

    await indexed_database["tasks"].update_one({"_id": poison[0].id}, {"$set": {"status": "failed"}})
    assert not await bench.dispatcher.dispatch()
    assert bench.queue.tickets[-1].task_id == poison[1].id
