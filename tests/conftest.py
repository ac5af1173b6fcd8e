"""Fixtures that every test may use: servers once per test process, a database and an empty Redis per test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.broker.connections import connect_for_commands
from app.storage.mongo import Database, ensure_indexes
from tests.support.servers import broker_server, fresh_database, store_server


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """Yields the address of a MongoDB-compatible server: `MONGO_URI`, or an embedded one for this process."""
    if named := os.environ.get("MONGO_URI"):
        yield named
        return
    with store_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Starts a Valkey for this process. It never uses one that the environment names, because tests empty it."""
    with broker_server() as server:
        yield server.url


@pytest.fixture
async def database(mongo_uri: str) -> AsyncIterator[Database]:
    """Opens this test's own database, without indexes."""
    async with fresh_database(mongo_uri) as db:
        yield db


@pytest.fixture
async def indexed_database(database: Database) -> Database:
    """Opens this test's own database with the product's indexes."""
    await ensure_indexes(database)
    return database


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    """Connects to a Redis that is empty when the test begins."""
    client = connect_for_commands(SecretStr(redis_url))
    await client.flushall()
    yield client
    await client.aclose()
