"""A runtime on real stores: it publishes itself, and leaves nothing behind, also if its start fails half-way."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from socket import socket

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.broker.worker_presence import read_presences
from app.errors import ConfigurationError
from app.llm.gateway import build_gateway
from app.settings import BrokerSettings, Settings, StoreSettings, WorkerSettings, load_settings
from tests.support.servers import HOST, free_port
from worker.runtime import Runtime

PRESENCE_SECONDS = 10
RUNTIME_THREADS = {"runtime", "probe", "watchdog"}


@pytest.fixture
def settings(mongo_uri: str, redis_url: str) -> Settings:
    return load_settings(
        store=StoreSettings(uri=SecretStr(mongo_uri), database=f"test_{uuid.uuid4().hex[:16]}"),
        broker=BrokerSettings(redis_url=SecretStr(redis_url)),
        worker=WorkerSettings(metrics_port=free_port(), name="pod-1"),
    )


@pytest.fixture
def taken_port(settings: Settings) -> Iterator[int]:
    with socket() as holder:
        holder.bind((HOST, settings.worker.metrics_port))
        holder.listen()
        yield settings.worker.metrics_port


def running_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & RUNTIME_THREADS


async def names_in_presence(redis: Redis) -> list[str]:
    return [presence.name for presence in await read_presences(redis)]


async def test_a_runtime_publishes_its_presence_until_it_is_closed(settings: Settings, redis_client: Redis) -> None:
    runtime = await asyncio.to_thread(Runtime, settings, make_gateway=build_gateway)
    async with asyncio.timeout(PRESENCE_SECONDS):
        while not await names_in_presence(redis_client):
            continue
    assert await names_in_presence(redis_client) == ["pod-1"]

    await asyncio.to_thread(runtime.close)

    assert await names_in_presence(redis_client) == []
    assert running_threads() == set()


async def test_a_runtime_that_cannot_start_leaves_nothing_behind(
    settings: Settings, redis_client: Redis, taken_port: int
) -> None:
    with pytest.raises(ConfigurationError, match=f"AGENT_METRICS_PORT: cannot listen on {HOST}:{taken_port}"):
        await asyncio.to_thread(Runtime, settings, make_gateway=build_gateway)

    assert await names_in_presence(redis_client) == []
    assert running_threads() == set()
