"""Keys, roles, tenants and rate limits of callers."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from app.broker.rate_limit import WINDOW_SECONDS
from app.domain.identity import Role
from app.errors import ConfigurationError
from app.services.keys import KeyService
from app.settings import BrokerSettings
from app.storage.api_keys import MongoApiKeyRepository
from app.storage.mongo import Database
from app.system_clock import SystemClock
from tests.integration.api.callers import new_key, problem, submit
from tests.integration.api.conftest import BOOTSTRAP_KEY, CLIENT_ADDRESS, StartApi
from tests.support.servers import HOST, free_port

NO_KEY = {"Authorization": ""}


@pytest.mark.parametrize("headers", [NO_KEY, {"Authorization": "Bearer ao_unknown-but-plausible-key"}])
async def test_without_a_good_key_nothing_is_served(keyed_api: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/v1/tasks", "/v1/agents", "/v1/system/metrics"):
        answer = await keyed_api.get(path, headers=headers)
        problem(answer, 401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_probes_need_no_key(keyed_api: httpx.AsyncClient) -> None:
    for path in ("/health", "/ready", "/metrics"):
        assert (await keyed_api.get(path, headers=NO_KEY)).status_code == 200


async def test_a_key_may_come_in_either_header(keyed_api: httpx.AsyncClient) -> None:
    del keyed_api.headers["Authorization"]

    assert (await keyed_api.get("/v1/tasks", headers={"X-API-Key": BOOTSTRAP_KEY})).status_code == 200
    assert (await keyed_api.get("/v1/tasks", headers={"authorization": f"bearer {BOOTSTRAP_KEY}"})).status_code == 200


async def test_a_wrong_key_is_refused_even_if_none_is_required(api: httpx.AsyncClient) -> None:
    problem(await api.get("/v1/tasks", headers={"X-API-Key": "ao_not-a-key-of-ours"}), 401, "UNAUTHENTICATED")


async def test_keys_are_stored_as_hashes(keyed_api: httpx.AsyncClient, database: Database) -> None:
    headers = await new_key(database, Role.CLIENT)
    secret = headers["Authorization"].removeprefix("Bearer ")

    stored = str(await database["api_keys"].find({}).to_list())

    assert secret.startswith("ao_")
    assert len(secret) >= 46
    assert secret not in stored
    assert BOOTSTRAP_KEY not in stored


async def test_a_revoked_key_is_refused(keyed_api: httpx.AsyncClient, database: Database) -> None:
    keys = KeyService(MongoApiKeyRepository(database), SystemClock())
    headers = await new_key(database, Role.CLIENT)
    client = next(key for key in await keys.list_all() if key.role is Role.CLIENT)
    assert await keys.revoke(client.id)

    problem(await keyed_api.get("/v1/tasks", headers=headers), 401, "UNAUTHENTICATED")


async def test_a_client_works_on_its_own_tenant_alone(keyed_api: httpx.AsyncClient, database: Database) -> None:
    acme, globex = [await new_key(database, Role.CLIENT, tenant=tenant) for tenant in ("acme", "globex")]
    theirs = (await keyed_api.post("/v1/agent/execute", json={"task": "x"}, headers=globex)).json()["task_id"]

    problem(await keyed_api.get(f"/v1/tasks/{theirs}", headers=acme), 404, "TASK_NOT_FOUND")
    problem(await keyed_api.get("/v1/tasks", headers={**acme, "X-Tenant": "globex"}), 403, "FORBIDDEN")
    assert (await keyed_api.get("/v1/tasks", headers=acme)).json()["items"] == []
    assert (await keyed_api.get("/v1/tasks", headers={**globex, "X-Tenant": "globex"})).status_code == 200


async def test_a_service_acts_for_any_tenant(keyed_api: httpx.AsyncClient, database: Database) -> None:
    globex = await new_key(database, Role.CLIENT, tenant="globex")
    answer = await keyed_api.post("/v1/agent/execute", json={"task": "x"}, headers={"X-Tenant": "globex"})

    assert (await keyed_api.get(f"/v1/tasks/{answer.json()['task_id']}", headers=globex)).status_code == 200


async def test_only_an_admin_pauses_the_intake(keyed_api: httpx.AsyncClient, database: Database) -> None:
    pause = {"accepting": False, "reason": "incident"}
    for role in (Role.CLIENT, Role.SERVICE):
        headers = await new_key(database, role)
        problem(await keyed_api.post("/v1/system/intake", json=pause, headers=headers), 403, "FORBIDDEN")

    admin = await new_key(database, Role.ADMIN)
    assert (await keyed_api.post("/v1/system/intake", json=pause, headers=admin)).status_code == 200


async def test_a_client_drains_no_worker(keyed_api: httpx.AsyncClient, database: Database) -> None:
    client = await new_key(database, Role.CLIENT)
    for role, status, code in ((client, 403, "FORBIDDEN"), ({}, 404, "WORKER_NOT_FOUND")):
        path = "/v1/system/workers/w1/drain"
        problem(await keyed_api.post(path, json={"seconds": 60}, headers=role), status, code)
        problem(await keyed_api.delete(path, headers=role), status, code)


async def test_figures_are_the_clients_own_or_everybodys(keyed_api: httpx.AsyncClient, database: Database) -> None:
    acme, globex = [await new_key(database, Role.CLIENT, tenant=tenant) for tenant in ("acme", "globex")]
    await keyed_api.post("/v1/agent/execute", json={"task": "x"}, headers=acme)

    async def queued(headers: dict[str, str]) -> int:
        figures = (await keyed_api.get("/v1/system/metrics", headers=headers)).json()
        number: int = figures["today"]["by_status"]["queued"]
        return number

    assert [await queued(acme), await queued(globex), await queued({})] == [1, 0, 1]


async def test_a_client_is_limited_by_its_key(start_api: StartApi, database: Database) -> None:
    bootstrap = SecretStr(BOOTSTRAP_KEY)
    async with start_api(auth="on", bootstrap_service_key=bootstrap, rate_limit_per_minute=3) as api:
        headers = await new_key(database, Role.CLIENT)
        answers = [await api.get("/v1/tasks", headers=headers) for _ in range(4)]
        probe = await api.get("/health")

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    problem(answers[-1], 429, "RATE_LIMITED")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2 * WINDOW_SECONDS  # the window slides over two minutes
    assert probe.status_code == 200


async def test_a_service_is_not_limited(start_api: StartApi) -> None:
    bootstrap = SecretStr(BOOTSTRAP_KEY)
    async with start_api(auth="on", bootstrap_service_key=bootstrap, rate_limit_per_minute=3) as api:
        headers = {"X-API-Key": BOOTSTRAP_KEY}
        assert {(await api.get("/v1/tasks", headers=headers)).status_code for _ in range(10)} == {200}


async def test_guessing_keys_is_limited_by_address(start_api: StartApi) -> None:
    bootstrap = SecretStr(BOOTSTRAP_KEY)
    async with start_api(auth="on", bootstrap_service_key=bootstrap, rate_limit_per_minute=3) as api:
        answers = [await api.get("/v1/tasks", headers={"X-API-Key": f"ao_a-guess-number-{n}"}) for n in range(4)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]


async def test_addresses_are_limited_apart_behind_a_trusted_proxy(start_api: StartApi) -> None:
    async with start_api(auth="off", rate_limit_per_minute=1, trusted_proxies=(CLIENT_ADDRESS,)) as api:
        statuses = [
            (await api.get("/v1/tasks", headers={"X-Forwarded-For": f"10.0.0.1, {hop}"})).status_code
            for hop in ("198.51.100.1", "198.51.100.2", "198.51.100.1")
        ]

    assert statuses == [200, 200, 429]


async def test_an_unknown_proxy_is_not_believed(start_api: StartApi) -> None:
    async with start_api(auth="off", rate_limit_per_minute=1) as api:
        statuses = [
            (await api.get("/v1/tasks", headers={"X-Forwarded-For": hop})).status_code
            for hop in ("198.51.100.1", "198.51.100.2")
        ]

    assert statuses == [200, 429]


async def test_limits_hold_while_redis_is_down(start_api: StartApi) -> None:
    nobody = BrokerSettings(redis_url=SecretStr(f"redis://{HOST}:{free_port()}/0"))
    async with start_api(groups={"broker": nobody}, auth="off", rate_limit_per_minute=2) as api:
        assert [(await api.get("/v1/tasks")).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_public_address_without_any_key_does_not_start(start_api: StartApi) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_BOOTSTRAP_SERVICE_KEY"):
        async with start_api(host="0.0.0.0"):
            pytest.fail("the API must not start")


async def test_a_public_address_starts_with_a_key_or_with_auth_off(start_api: StartApi) -> None:
    async with start_api(host="0.0.0.0", auth="off") as api:
        await submit(api)
    async with start_api(host="0.0.0.0", bootstrap_service_key=SecretStr(BOOTSTRAP_KEY)) as api:
        problem(await api.get("/v1/tasks"), 401, "UNAUTHENTICATED")
    async with start_api(host="0.0.0.0") as api:
        problem(await api.get("/v1/tasks"), 401, "UNAUTHENTICATED")
