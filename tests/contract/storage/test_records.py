"""Idempotency records, API keys and published agents."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from app.domain.agent import AgentCard
from app.domain.identity import Role, TaskId, Tenant
from app.storage.agent_directory import MongoAgentDirectory
from app.storage.api_keys import MongoApiKeyRepository
from app.storage.idempotency import MongoIdempotencyRepository
from app.storage.mongo import Database
from tests.support.tasks import TENANT


async def test_the_first_to_reserve_a_key_decides(indexed_database: Database) -> None:
    records = MongoIdempotencyRepository(indexed_database)
    ids = [TaskId(str(number)) for number in range(20)]

    made = await asyncio.gather(*(records.reserve(TENANT, "$k", body_hash="h", task_id=task_id) for task_id in ids))

    assert len({record.task_id for record in made}) == 1
    assert {record.accepted for record in made} == {False}


async def test_a_record_is_pending_until_it_is_accepted(indexed_database: Database) -> None:
    records = MongoIdempotencyRepository(indexed_database)
    await records.reserve(TENANT, "k", body_hash="h", task_id=TaskId("1"))
    await records.mark_accepted(TENANT, "k")

    again = await records.reserve(TENANT, "k", body_hash="other", task_id=TaskId("2"))

    assert (again.task_id, again.body_hash, again.accepted) == ("1", "h", True)
    assert await records.find(Tenant("globex"), "k") is None


async def test_a_key_is_found_by_its_hash_and_created_once(indexed_database: Database) -> None:
    keys = MongoApiKeyRepository(indexed_database)
    made = [await keys.create(name="$ci", tenant=TENANT, role=Role.SERVICE, sha256="a" * 64) for _ in range(2)]

    assert made[0] == made[1] == await keys.find_by_hash("a" * 64)
    assert (made[0].name, made[0].tenant, made[0].role, made[0].revoked_at) == ("$ci", TENANT, Role.SERVICE, None)
    assert await keys.find_by_hash("b" * 64) is None


async def test_a_revoked_key_keeps_the_time_of_its_first_revocation(indexed_database: Database) -> None:
    keys = MongoApiKeyRepository(indexed_database)
    key = await keys.create(name="ci", tenant=TENANT, role=Role.CLIENT, sha256="a" * 64)

    assert await keys.revoke(key.id)
    (first,) = await keys.list_all()
    assert await keys.revoke(key.id)

    assert first.revoked_at is not None
    assert list(await keys.list_all()) == [first]
    assert not await keys.revoke("unknown")


async def test_an_installed_key_ends_when_another_one_replaces_it(indexed_database: Database) -> None:
    keys = MongoApiKeyRepository(indexed_database)
    old, new, own = [
        await keys.create(name=name, tenant=TENANT, role=Role.SERVICE, sha256=name * 64) for name in ("a", "b", "c")
    ]
    await keys.install(old.id)
    assert await keys.expire_replaced(old.id, seconds=60) == 0
    await keys.install(new.id)
    assert [await keys.expire_replaced(new.id, seconds=60) for _ in range(2)] == [1, 0]

    found = {key.id: key for key in await keys.list_all()}
    end = found[old.id].expires_at
    assert end is not None
    assert timedelta(seconds=30) < end - datetime.now(UTC) <= timedelta(seconds=90)
    assert (found[new.id].installed, found[new.id].expires_at) == (True, None)
    assert found[own.id] == own

    await keys.install(old.id)
    assert (await keys.expire_replaced(old.id, seconds=60), await keys.expire_replaced(own.id, seconds=60)) == (1, 1)


async def test_a_revoked_key_gets_no_end(indexed_database: Database) -> None:
    keys = MongoApiKeyRepository(indexed_database)
    leaked = await keys.create(name="a", tenant=TENANT, role=Role.SERVICE, sha256="a" * 64)
    await keys.install(leaked.id)
    await keys.revoke(leaked.id)

    assert await keys.expire_replaced("other", seconds=60) == 0


async def test_an_agent_that_no_version_has_any_more_is_not_listed(indexed_database: Database) -> None:
    agents = MongoAgentDirectory(indexed_database)
    card = AgentCard(name="CodeAgent", agent_type="code", description="d", version="1")
    gone = card.model_copy(update={"name": "GoneAgent"})
    await agents.publish([card, gone])
    long_ago = datetime.now(UTC) - timedelta(days=2)
    await indexed_database["agents"].update_many({}, {"$set": {"published_at": long_ago}})
    assert [one.name for one in await agents.list_all()] == ["CodeAgent", "GoneAgent"]  # no worker has run for long

    await agents.publish([card])

    assert [one.name for one in await agents.list_all()] == ["CodeAgent"]


async def test_agents_are_listed_by_name_as_published_last(indexed_database: Database) -> None:
    agents = MongoAgentDirectory(indexed_database)
    old = AgentCard(name="CodeAgent", agent_type="code", description="$old", version="1", tools=("web",))
    await agents.publish([old, old.model_copy(update={"name": "Archivist"})])
    await agents.publish([old.model_copy(update={"version": "2", "tools": ()})])
    await agents.publish([])

    cards = await agents.list_all()

    assert [(card.name, card.version, card.tools) for card in cards] == [
        ("Archivist", "1", ("web",)),
        ("CodeAgent", "2", ()),
    ]
    assert all(card.published_at is not None for card in cards)
