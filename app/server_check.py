"""The first look at MongoDB and Redis: whether they answer, and whether they are of a kind that can work.

A process refuses to start with a server that can never work, in one sentence. A server that does not answer is no
reason to refuse: every process lives through an outage.
"""

from __future__ import annotations

import asyncio

from pydantic import SecretStr

from app.broker.connections import check_writes, connect_for_commands
from app.errors import BrokerUnsuitable, ConfigurationError, DependencyError, StoreError, StoreUnsuitable
from app.settings import BrokerSettings, Settings, StoreSettings
from app.storage.mongo import connect, database, server_time, store_errors

# An outage delays the start of a process by about this time.
STORE_SECONDS = 2.0


async def check_store(settings: StoreSettings) -> None:
    """Raises StoreUnavailable, StoreError if MongoDB refuses, and StoreUnsuitable."""
    quick = settings.model_copy(update={"timeout_seconds": min(settings.timeout_seconds, STORE_SECONDS)})
    with store_errors("connect"):
        client = connect(quick)
    try:
        await server_time(database(client, quick))
    finally:
        client.close()


async def check_broker(url: SecretStr) -> None:
    """Raises BrokerUnavailable, with the reason if Redis refuses, and BrokerUnsuitable."""
    redis = connect_for_commands(url)
    try:
        await check_writes(redis)
    finally:
        await redis.aclose()


def broker_urls(settings: BrokerSettings) -> dict[str, SecretStr]:
    """Returns the address of each Redis by the variable that names it."""
    urls = {"REDIS_URL": settings.redis_url}
    return urls if settings.celery_broker_url is None else {**urls, "CELERY_BROKER_URL": settings.celery_broker_url}


async def refuse_unsuitable(settings: Settings) -> None:
    """Raises ConfigurationError for a server that can never work; one that does not answer passes."""
    checks = [check_store(settings.store), *map(check_broker, broker_urls(settings.broker).values())]
    for failure in await asyncio.gather(*checks, return_exceptions=True):
        if isinstance(failure, BrokerUnsuitable | StoreUnsuitable):
            raise ConfigurationError(failure.message) from failure
        if failure is not None and not isinstance(failure, DependencyError | StoreError):
            raise failure
