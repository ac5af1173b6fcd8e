"""The service key in a mounted file: rotated without a restart, and its predecessor ends after an overlap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.domain.identity import Role
from app.errors import ConfigurationError
from app.services import service_key
from app.services.keys import hash_secret
from app.storage.mongo import Database
from tests.integration.api.callers import new_key, problem
from tests.integration.api.conftest import BOOTSTRAP_KEY, StartApi

OLD, NEW = "the-old-service-key-of-32-characters", "the-new-service-key-of-32-characters"
POLL_SECONDS = 0.05
LONGEST_SECONDS = 30.0


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the old key. The API looks at it more often than in production."""
    monkeypatch.setattr(service_key, "POLL_SECONDS", POLL_SECONDS)
    path = tmp_path / "service-key"
    path.write_text(OLD + "\n")
    return path


@pytest.fixture
async def api(start_api: StartApi, key_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with start_api(auth="on", bootstrap_service_key_file=key_file) as client:
        yield client


def replace(path: Path, text: str) -> None:
    """Replaces the file as the kubelet does: the new one has another inode."""
    other = path.with_name("new")
    other.write_text(text)
    other.rename(path)


async def status(api: httpx.AsyncClient, secret: str) -> int:
    return (await api.get("/v1/system/autoscaler", headers={"X-API-Key": secret})).status_code


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Polls the condition until it holds. Fails the test if it does not hold in time."""
    for _ in range(round(LONGEST_SECONDS / POLL_SECONDS)):
        if await holds():
            return
        await asyncio.sleep(POLL_SECONDS)
    pytest.fail(f"not seen within {LONGEST_SECONDS:g} s")


async def wait_for_status(api: httpx.AsyncClient, secret: str, wanted: int) -> None:
    async def answered() -> bool:
        return await status(api, secret) == wanted

    await eventually(answered)


async def end_overlap(database: Database, secret: str) -> timedelta:
    """Waits until this key is replaced, returns what is left of its overlap, and lets that pass."""
    found, ends = {"_id": hash_secret(secret)[:16]}, list[datetime]()

    async def replaced() -> bool:
        document = await database["api_keys"].find_one({**found, "expires_at": {"$exists": True}})
        ends.extend([] if document is None else [document["expires_at"]])
        return bool(ends)

    await eventually(replaced)
    now = datetime.now(UTC)
    await database["api_keys"].update_one(found, {"$set": {"expires_at": now - timedelta(seconds=1)}})
    return ends[0] - now


async def test_a_key_in_its_file_is_accepted_and_replaced_without_a_restart(
    api: httpx.AsyncClient, key_file: Path, database: Database
) -> None:
    by_hand = await new_key(database, Role.SERVICE)
    assert (await status(api, OLD), await status(api, NEW)) == (200, 401)

    replace(key_file, NEW)
    await wait_for_status(api, NEW, 200)

    assert await status(api, OLD) == 200
    assert timedelta(seconds=840) < await end_overlap(database, OLD) <= timedelta(seconds=900)
    await wait_for_status(api, OLD, 401)
    problem(await api.get("/v1/tasks", headers={"X-API-Key": OLD}), 401, "UNAUTHENTICATED")
    assert await status(api, NEW) == 200
    assert (await api.get("/v1/tasks", headers=by_hand)).status_code == 200


async def test_an_earlier_key_that_comes_back_is_accepted(
    api: httpx.AsyncClient, key_file: Path, database: Database
) -> None:
    replace(key_file, NEW)
    await wait_for_status(api, NEW, 200)
    await end_overlap(database, OLD)
    await wait_for_status(api, OLD, 401)

    replace(key_file, OLD)

    await wait_for_status(api, OLD, 200)


@pytest.mark.parametrize("text", ["", "too-short", "ends in the middle of\nsomething that is no key"])
async def test_a_file_without_a_key_changes_nothing(api: httpx.AsyncClient, key_file: Path, text: str) -> None:
    with capture_logs() as lines:
        replace(key_file, text)

        async def logged() -> bool:
            return "service_key_unreadable" in {line["event"] for line in lines}

        await eventually(logged)

    assert await status(api, OLD) == 200
    replace(key_file, NEW)
    await wait_for_status(api, NEW, 200)


@pytest.mark.parametrize("text", [None, "", "too-short"])
async def test_the_api_does_not_start_without_a_key_in_the_file(
    start_api: StartApi, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "service-key"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match="AGENT_BOOTSTRAP_SERVICE_KEY_FILE"):
        async with start_api(auth="on", bootstrap_service_key_file=path):
            pytest.fail("the API must not start")


async def test_a_key_from_the_variable_of_an_earlier_version_ends_when_a_file_replaces_it(
    start_api: StartApi, key_file: Path, database: Database
) -> None:
    async with start_api(auth="on", bootstrap_service_key=SecretStr(BOOTSTRAP_KEY)) as api:
        assert await status(api, BOOTSTRAP_KEY) == 200

    async with start_api(auth="on", bootstrap_service_key_file=key_file) as api:
        assert (await status(api, BOOTSTRAP_KEY), await status(api, OLD)) == (200, 200)
        await end_overlap(database, BOOTSTRAP_KEY)
        await wait_for_status(api, BOOTSTRAP_KEY, 401)
