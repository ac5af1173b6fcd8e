"""Fixtures: the application in this process, with its lifespan, as callers see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.main import create_app
from app.settings import ApiSettings, BrokerSettings, Settings, StoreSettings, load_settings
from app.storage.mongo import Database

CLIENT_ADDRESS = "203.0.113.7"
BOOTSTRAP_KEY = "bootstrap-key-of-at-least-32-characters"

StartApi = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def settings(mongo_uri: str, database: Database, redis_url: str, redis_client: Redis) -> Settings:
    """Builds settings of an open API on this test's database; tests about limits and keys replace the group `api`."""
    return load_settings(
        store=StoreSettings(uri=SecretStr(mongo_uri), database=database.name),
        broker=BrokerSettings(redis_url=SecretStr(redis_url)),
        api=ApiSettings(auth="off", rate_limit_per_minute=1_000_000),
    )


@pytest.fixture
def start_api(settings: Settings) -> StartApi:
    """Starts the application with other settings of the group `api`, or other groups."""

    @asynccontextmanager
    async def start(*, groups: dict[str, Any] | None = None, **api: Any) -> AsyncIterator[httpx.AsyncClient]:
        own_api = settings.api if not api else ApiSettings(**{"rate_limit_per_minute": 1_000_000, **api})
        app = create_app(settings.model_copy(update={"api": own_api, **(groups or {})}))
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, client=(CLIENT_ADDRESS, 50_000))
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                yield client

    return start


@pytest.fixture
async def api(start_api: StartApi) -> AsyncIterator[httpx.AsyncClient]:
    async with start_api() as client:
        yield client


@pytest.fixture
async def keyed_api(start_api: StartApi) -> AsyncIterator[httpx.AsyncClient]:
    """Starts an API that requires keys; the client sends the bootstrap key, whose role is service."""
    async with start_api(auth="on", bootstrap_service_key=SecretStr(BOOTSTRAP_KEY)) as client:
        client.headers["Authorization"] = f"Bearer {BOOTSTRAP_KEY}"
        yield client
