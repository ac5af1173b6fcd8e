"""Limits that several workers share on a real Valkey."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.broker.connections import connect_for_commands
from app.llm.faults import FaultKind, ProviderFault
from app.llm.limits import PERMIT_SECONDS, ProviderLimits, _permits
from app.llm.provider_table import Provider
from app.settings import LLMSettings
from app.system_clock import SystemClock
from tests.support.servers import HOST, free_port

LONG = 30.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits long for Redis: a worker without a reply in time sets no limits, which another test checks."""
    monkeypatch.setattr("app.broker.scripts.PATIENCE_SECONDS", 5.0)


def worker(redis: Redis, *, at_once: int | None = None, per_minute: int | None = None) -> ProviderLimits:
    settings = LLMSettings(openai_calls_at_once=at_once, openai_calls_per_minute=per_minute)
    return ProviderLimits(settings, redis=redis, clock=SystemClock())


async def refused(limits: ProviderLimits, provider: Provider = Provider.OPENAI) -> ProviderFault | None:
    """Returns the fault of a call that does not wait."""
    try:
        async with limits.permit(provider, remaining_seconds=0):
            return None
    except ProviderFault as fault:
        return fault


async def test_all_workers_together_make_so_many_calls_at_once(redis_client: Redis) -> None:
    first, second = worker(redis_client, at_once=2), worker(redis_client, at_once=2)
    async with AsyncExitStack() as held:
        for limits in (first, second):
            await held.enter_async_context(limits.permit(Provider.OPENAI, remaining_seconds=LONG))

        fault = await refused(first)
        assert fault is not None
        assert fault.kind is FaultKind.LIMITED
        assert fault.retry_after == 1.0
        assert await refused(first, Provider.ANTHROPIC) is None

    assert await refused(second) is None


async def test_who_waits_gets_the_permit_that_comes_free(redis_client: Redis) -> None:
    limits = worker(redis_client, at_once=1)
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        async with limits.permit(Provider.OPENAI, remaining_seconds=LONG):
            running += 1
            most = max(most, running)
            await redis_client.execute_command("PING")  # the others ask meanwhile
            running -= 1

    await asyncio.gather(*(call() for _ in range(5)))

    assert most == 1


async def test_the_permit_of_a_dead_worker_expires_and_a_live_ones_is_renewed(redis_client: Redis) -> None:
    limits, other = worker(redis_client, at_once=1), worker(redis_client, at_once=1)
    async with limits.permit(Provider.OPENAI, remaining_seconds=LONG):
        await _pass(redis_client, PERMIT_SECONDS - 5)
        await limits.renew()
        await _pass(redis_client, PERMIT_SECONDS - 5)
        assert await refused(other) is not None

        await _pass(redis_client, PERMIT_SECONDS)  # nobody renews any more
        assert await refused(other) is None


async def _pass(redis: Redis, seconds: float) -> None:
    """Moves the ends of permits nearer, since a server's clock cannot be moved."""
    key = _permits(Provider.OPENAI)
    for permit in await redis.zrange(key, 0, -1):
        await redis.zincrby(key, -seconds * 1000, permit)
    await redis.pexpire(key, await redis.pttl(key) - round(seconds * 1000))


async def test_a_cancelled_call_gives_its_permit_back(redis_client: Redis) -> None:
    limits = worker(redis_client, at_once=1)
    holding = asyncio.Event()

    async def call() -> None:
        async with limits.permit(Provider.OPENAI, remaining_seconds=LONG):
            holding.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await holding.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await refused(limits) is None


async def test_a_minute_has_so_many_calls_and_ten_seconds_worth_come_at_once(redis_client: Redis) -> None:
    limits = worker(redis_client, per_minute=60)

    answers = [await refused(limits) for _ in range(12)]

    assert [fault is None for fault in answers] == [True] * 10 + [False] * 2
    fault = answers[-1]
    assert fault is not None
    assert fault.retry_after == 1.0  # what is shorter is not worth coming back for


async def test_without_redis_nothing_is_limited() -> None:
    nobody = connect_for_commands(SecretStr(f"redis://{HOST}:{free_port()}/0"))
    limits = worker(nobody, at_once=1)

    async with limits.permit(Provider.OPENAI, remaining_seconds=LONG):
        assert await refused(limits) is None
    await nobody.aclose()
