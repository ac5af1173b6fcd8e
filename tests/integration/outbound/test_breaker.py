"""The breaker on a real Redis: the state that workers share, and their behaviour while Redis is unavailable."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from app.outbound import breaker_state
from app.outbound.breaker import KEY_PREFIX, CircuitBreaker
from app.outbound.breaker_state import CLOSED, BreakerStatus
from app.settings import LLMSettings
from app.system_clock import SystemClock
from app.telemetry.metrics import WorkerMetrics
from tests.support.doubles import ManualClock
from tests.support.servers import broker_server

NAME = "openai:gpt"
THRESHOLD, RESET_MS, PROBE_MS, PAUSE_MS = 3, 60_000, 30_000, 5_000
TIMES = ("failures_until", "blocked_until", "probe_until")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits long for Redis: a worker without a reply in time decides for itself, which another test checks."""
    monkeypatch.setattr("app.broker.scripts.PATIENCE_SECONDS", 4.0)


def worker(redis: Redis, *, clock: ManualClock | SystemClock | None = None, reset: float = 60.0) -> CircuitBreaker:
    return CircuitBreaker(
        LLMSettings(breaker_failures=THRESHOLD, breaker_reset_seconds=reset),
        redis=redis,
        metrics=WorkerMetrics(version="test").outbound,
        clock=clock or SystemClock(),
        rng=random.Random(1),
    )


@pytest.mark.usefixtures("patience")
async def test_failures_of_all_workers_count_together(redis_client: Redis) -> None:
    first, second = worker(redis_client), worker(redis_client)
    await first.failed(NAME)
    await second.failed(NAME)
    await first.failed(NAME)
    assert not await first.allow(NAME)
    assert not await worker(redis_client).allow(NAME)


@pytest.mark.usefixtures("patience")
async def test_another_workers_opening_is_seen_within_a_second(redis_client: Redis) -> None:
    clock = ManualClock()
    first, second = worker(redis_client), worker(redis_client, clock=clock)
    assert await second.allow(NAME)
    for _ in range(THRESHOLD):
        await first.failed(NAME)
    clock.advance(1.01)
    assert not await second.allow(NAME)
    assert dict(second.states()) == {NAME: "open"}


@pytest.mark.usefixtures("patience")
async def test_of_many_workers_one_probes(redis_client: Redis) -> None:
    workers = [worker(redis_client, reset=0.1) for _ in range(8)]
    for _ in range(THRESHOLD):
        await workers[0].failed(NAME)
    allowed: list[bool] = []
    async with asyncio.timeout(5):
        while not any(allowed):  # until the pause is over
            allowed = await asyncio.gather(*(one.allow(NAME) for one in workers for _ in range(4)))
    assert sum(allowed) == 1
    await workers[0].succeeded(NAME)
    assert await redis_client.exists(KEY_PREFIX + NAME) == 0
    assert all([await one.allow(NAME) for one in [worker(redis_client) for _ in range(3)]])


@pytest.mark.usefixtures("patience")
async def test_a_pause_is_shared(redis_client: Redis) -> None:
    await worker(redis_client).cool_down(NAME, 30)
    other = worker(redis_client)
    assert not await other.allow(NAME)
    assert dict(other.states()) == {NAME: "cooling"}
    assert 20 < other.blocked_seconds(NAME) <= 30


@pytest.mark.usefixtures("patience")
async def test_while_all_is_well_redis_is_asked_once_a_second(redis_client: Redis) -> None:
    clock = ManualClock()
    breaker = worker(redis_client, clock=clock)
    await breaker.allow("other")  # loads the script
    before = await commands(redis_client)
    for _ in range(200):
        assert await breaker.allow(NAME)
        await breaker.succeeded(NAME)
        clock.advance(0.01)
    assert await commands(redis_client) - before <= 3


async def commands(redis: Redis) -> int:
    """Counts the scripts that the server has run."""
    statistics = await redis.info("commandstats")
    return int(statistics["cmdstat_evalsha"]["calls"])


@pytest.mark.usefixtures("patience")
async def test_keys_expire_by_themselves(redis_client: Redis) -> None:
    await worker(redis_client).failed(NAME)
    assert 0 < await redis_client.ttl(KEY_PREFIX + NAME) <= 3_600


async def test_without_redis_each_worker_goes_on_by_itself() -> None:
    with broker_server() as server:
        client = Redis.from_url(server.url, socket_connect_timeout=1)
        breaker = worker(client)
        await breaker.failed(NAME)
        server.stop()
        for _ in range(THRESHOLD - 1):
            await breaker.failed(NAME)
        assert not await breaker.allow(NAME)
        assert await breaker.allow("other")
        await client.aclose()


async def test_a_redis_that_does_not_answer_delays_one_call_a_quarter_of_a_second() -> None:
    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    client = Redis.from_url(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0")
    breaker = worker(client)
    began = asyncio.get_running_loop().time()
    assert [await breaker.allow(f"n{number}") for number in range(20)] == [True] * 20
    assert asyncio.get_running_loop().time() - began < 1
    await client.aclose()
    silent.close()


@pytest.fixture(scope="module")
def blocking(redis_url: str) -> BlockingRedis:
    return BlockingRedis.from_url(redis_url, decode_responses=True)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "succeeded", "failed", "failed", "rate_limited", "abandoned"]),
        st.sampled_from([0, 0, 0, PAUSE_MS, PROBE_MS, RESET_MS]),
    ),
    max_size=25,
)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_the_script_does_what_the_functions_do(blocking: BlockingRedis, events: list[tuple[str, int]]) -> None:
    """Lets time pass by moving the stored times back, since a server's clock cannot be moved."""
    key = KEY_PREFIX + "property"
    blocking.delete(key)
    script = blocking.register_script(breaker_state.SCRIPT)
    status, now = CLOSED, 0.0
    for event, passed in events:
        now += passed + 1_000  # well over the milliseconds that the test itself takes
        _shift(blocking, key, passed + 1_000)
        reply = script(keys=[key], args=[event, THRESHOLD, RESET_MS, PROBE_MS, PAUSE_MS])
        allowed, status = _apply(status, event, now=now)
        assert bool(reply[0]) is allowed
        assert (reply[1], bool(reply[4])) == (status.failures, status.tripped)
        for left, until in ((reply[3], status.blocked_until), (reply[5], status.probe_until)):
            assert left == pytest.approx(max(0.0, until - now), abs=900)


def _shift(redis: BlockingRedis, key: str, milliseconds: int) -> None:
    stored = redis.hgetall(key)
    assert isinstance(stored, dict)
    for name in TIMES:
        if int(stored.get(name, 0)) > 0:
            redis.hincrby(key, name, -milliseconds)


def _apply(status: BreakerStatus, event: str, *, now: float) -> tuple[bool, BreakerStatus]:
    match event:
        case "ask":
            return breaker_state.ask(status, now=now, probe_seconds=PROBE_MS)
        case "succeeded":
            return True, breaker_state.after_success(status, now=now)
        case "failed":
            return True, breaker_state.after_failure(status, now=now, threshold=THRESHOLD, reset_seconds=RESET_MS)
        case "rate_limited":
            return True, breaker_state.after_rate_limit(status, now=now, seconds=PAUSE_MS)
        case _:
            return True, breaker_state.after_abandoned_call(status)
