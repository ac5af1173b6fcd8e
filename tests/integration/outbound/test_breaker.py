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
from app.outbound.breaker_state import CLOSED, BreakerRules, Event
from app.settings import LLMSettings
from app.system_clock import SystemClock
from app.telemetry.metrics import WorkerMetrics
from tests.support.doubles import ManualClock
from tests.support.servers import broker_server

NAME = "openai:gpt"
THRESHOLD, RESET_MS, PROBE_MS, VERDICT_MS, CAP_MS, PAUSE_MS = 3, 60_000, 30_000, 3_500, 45_000, 5_000
RULES = BreakerRules(
    threshold=THRESHOLD,
    reset_seconds=RESET_MS,
    probe_seconds=PROBE_MS,
    verdict_seconds=VERDICT_MS,
    longest_pause_seconds=CAP_MS,
)
ARGUMENTS = [THRESHOLD, RESET_MS, PROBE_MS, VERDICT_MS, CAP_MS]
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


async def open_breaker(breaker: CircuitBreaker) -> None:
    for number in range(THRESHOLD):
        await breaker.failed(NAME, by=f"task-{number}")


@pytest.mark.usefixtures("patience")
async def test_failures_of_all_workers_count_together(redis_client: Redis) -> None:
    first, second = worker(redis_client), worker(redis_client)
    await first.failed(NAME, by="a")
    await second.failed(NAME, by="b")
    await first.failed(NAME, by="c")
    assert not await first.allow(NAME)
    assert not await worker(redis_client).allow(NAME)


@pytest.mark.usefixtures("patience")
async def test_a_task_counts_once_in_all_workers_and_its_id_never_enters_redis(
    redis_client: Redis, blocking: BlockingRedis
) -> None:
    for _ in range(THRESHOLD):
        for _ in range(THRESHOLD):
            await worker(redis_client).failed(NAME, by="task-of-somebody")
    assert await worker(redis_client).allow(NAME)
    stored = blocking.hgetall(KEY_PREFIX + NAME)
    assert isinstance(stored, dict)
    assert stored["failures"] == "1"
    assert "somebody" not in str(stored)


@pytest.mark.usefixtures("patience")
async def test_another_workers_opening_is_seen_within_a_second(redis_client: Redis) -> None:
    clock = ManualClock()
    first, second = worker(redis_client), worker(redis_client, clock=clock)
    assert await second.allow(NAME)
    await open_breaker(first)
    clock.advance(1.01)
    assert not await second.allow(NAME)
    assert dict(second.states()) == {NAME: "open"}


@pytest.mark.usefixtures("patience")
async def test_of_many_workers_one_probes(redis_client: Redis) -> None:
    workers = [worker(redis_client, reset=0.1) for _ in range(8)]
    await open_breaker(workers[0])
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
async def test_after_a_pause_one_of_many_workers_probes_and_only_its_success_lets_all_through(
    redis_client: Redis,
) -> None:
    workers = [worker(redis_client) for _ in range(8)]
    await workers[0].cool_down(NAME, 0)
    allowed = await asyncio.gather(*(one.allow(NAME, by=f"task-{at}") for at, one in enumerate(workers)))
    assert sum(allowed) == 1
    older = allowed.index(False)
    await workers[older].succeeded(NAME, by=f"task-{older}")
    assert not await worker(redis_client).allow(NAME)
    probe = allowed.index(True)
    await workers[probe].succeeded(NAME, by=f"task-{probe}")
    assert all([await worker(redis_client).allow(NAME) for _ in range(3)])


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
    await worker(redis_client).failed(NAME, by="a")
    assert 0 < await redis_client.ttl(KEY_PREFIX + NAME) <= 3_600


async def test_without_redis_each_worker_goes_on_by_itself() -> None:
    with broker_server() as server:
        client = Redis.from_url(server.url, socket_connect_timeout=1)
        breaker = worker(client)
        await breaker.failed(NAME, by="a")
        server.stop()
        await breaker.failed(NAME, by="a")
        await breaker.failed(NAME, by="b")
        assert await breaker.allow(NAME)
        await breaker.failed(NAME, by="c")
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
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from([0, 0, 0, VERDICT_MS, PAUSE_MS, PROBE_MS, RESET_MS]),
        st.sampled_from([0, PAUSE_MS, 10 * CAP_MS]),
    ),
    max_size=25,
)


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_the_script_does_what_the_functions_do(
    blocking: BlockingRedis, events: list[tuple[Event, str, int, int]]
) -> None:
    """Lets time pass by moving the stored times back, since a server's clock cannot be moved."""
    key = KEY_PREFIX + "property"
    blocking.delete(key)
    script = blocking.register_script(breaker_state.SCRIPT)
    status, now = CLOSED, 0.0
    for event, by, passed, pause in events:
        now += passed + 1_000  # well over the milliseconds that the test itself takes
        _shift(blocking, key, passed + 1_000)
        reply = script(keys=[key], args=[event, by, *ARGUMENTS, pause])
        allowed, status = breaker_state.apply(status, event, now=now, rules=RULES, by=by, pause_seconds=pause)
        assert bool(reply[0]) is allowed
        assert (reply[1], bool(reply[4]), bool(reply[6])) == (status.failures, status.tripped, status.paused)
        for left, until in ((reply[3], status.blocked_until), (reply[5], status.probe_until)):
            assert left == pytest.approx(max(0.0, until - now), abs=900)
        stored = blocking.hgetall(key)
        assert isinstance(stored, dict)
        assert set(stored.get("failed_by", "").split(",")) - {""} == status.failed_by
        assert stored.get("probe_by", "") == status.probe_by


def _shift(redis: BlockingRedis, key: str, milliseconds: int) -> None:
    stored = redis.hgetall(key)
    assert isinstance(stored, dict)
    for name in TIMES:
        if int(stored.get(name, 0)) > 0:
            redis.hincrby(key, name, -milliseconds)


# The script of the version before breakers counted tasks, as its workers run it during a rolling update.
FORMER_SCRIPT = """
local key, event = KEYS[1], ARGV[1]
local threshold, reset = tonumber(ARGV[2]), tonumber(ARGV[3])
local probe, pause = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local raw = redis.call('HMGET', key, 'failures', 'failures_until', 'blocked_until', 'tripped', 'probe_until')
local failures, failures_until = tonumber(raw[1]) or 0, tonumber(raw[2]) or 0
local blocked_until, tripped = tonumber(raw[3]) or 0, raw[4] == '1'
local probe_until = tonumber(raw[5]) or 0
local allowed, changed = 1, false
local blocked = blocked_until > now

local function become(f, f_until, b_until, t)
  failures, failures_until, blocked_until, tripped, probe_until = f, f_until, b_until, t, 0
  changed = true
end

if event == 'ask' then
  if blocked or (tripped and probe_until > now) then
    allowed = 0
  elseif tripped then
    probe_until, changed = now + probe, true
  end
elseif event == 'succeeded' then
  if not blocked then become(0, 0, 0, false) end
elseif event == 'failed' then
  if not blocked then
    local count = (failures_until > now and failures or 0) + 1
    if tripped or count >= threshold then
      become(0, 0, now + reset, true)
    else
      become(count, now + reset, 0, false)
    end
  end
elseif event == 'rate_limited' then
  if not (blocked and tripped) then become(0, 0, math.max(blocked_until, now + pause), false) end
elseif event == 'abandoned' then
  if probe_until > 0 then probe_until, changed = 0, true end
end

if changed then
  if failures == 0 and blocked_until == 0 and not tripped then
    redis.call('DEL', key)
  else
    redis.call('HSET', key, 'failures', failures, 'failures_until', failures_until, 'blocked_until', blocked_until,
      'tripped', tripped and '1' or '0', 'probe_until', probe_until)
    redis.call('PEXPIRE', key, math.max(3600000, 10 * reset) + math.max(0, blocked_until - now))
  end
end
local function left(at) return math.max(0, at - now) end
return {allowed, failures, left(failures_until), left(blocked_until), tripped and 1 or 0, left(probe_until)}
"""


def _former(redis: BlockingRedis, key: str, event: str, *, pause: int = 0) -> list[int]:
    arguments: list[str | int] = [event, THRESHOLD, RESET_MS, PROBE_MS, pause]
    reply = redis.register_script(FORMER_SCRIPT)(keys=[key], args=arguments)
    assert isinstance(reply, list)
    return reply


def _current(redis: BlockingRedis, key: str, event: str, *, by: str = "a", pause: int = 0) -> list[int]:
    reply = redis.register_script(breaker_state.SCRIPT)(keys=[key], args=[event, by, *ARGUMENTS, pause])
    assert isinstance(reply, list)
    return reply


@pytest.fixture
def key(blocking: BlockingRedis) -> str:
    blocking.delete(KEY_PREFIX + "mixed")
    return KEY_PREFIX + "mixed"


def test_failures_of_a_former_version_count_each_and_open_together_with_ours(blocking: BlockingRedis, key: str) -> None:
    _former(blocking, key, "failed")
    _current(blocking, key, "failed", by="a")
    _current(blocking, key, "failed", by="a")
    assert _current(blocking, key, "ask")[0]
    _former(blocking, key, "failed")
    assert not _current(blocking, key, "ask")[0]
    assert not _former(blocking, key, "ask")[0]


def test_what_a_former_version_opened_is_probed_and_closed(blocking: BlockingRedis, key: str) -> None:
    for _ in range(THRESHOLD):
        _former(blocking, key, "failed")
    _shift(blocking, key, RESET_MS)
    assert [_current(blocking, key, "ask", by=by)[0] for by in "abc"] == [1, 0, 0]
    assert not _former(blocking, key, "ask")[0]
    _current(blocking, key, "succeeded", by="a")
    assert _former(blocking, key, "ask")[:2] == [1, 0]


def test_a_pause_of_centuries_that_a_former_version_stored_is_over_after_the_cap(
    blocking: BlockingRedis, key: str
) -> None:
    _former(blocking, key, "rate_limited", pause=250_000_000_000_000)
    assert not _current(blocking, key, "ask")[0]
    time_to_live = blocking.pttl(key)
    assert isinstance(time_to_live, int)
    assert 0 < time_to_live < 10 * RESET_MS + 3_600_000
    _shift(blocking, key, CAP_MS)
    assert [_current(blocking, key, "ask", by=by)[0] for by in "ab"] == [1, 0]
    assert _former(blocking, key, "ask")[0]


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, former=st.lists(st.booleans(), min_size=25, max_size=25))
def test_with_a_former_version_beside_it_a_call_gets_through_in_the_end(
    blocking: BlockingRedis, key: str, events: list[tuple[Event, str, int, int]], former: list[bool]
) -> None:
    blocking.delete(key)
    for (event, by, passed, pause), old in zip(events, former, strict=False):
        _shift(blocking, key, passed)
        if old:
            _former(blocking, key, event, pause=pause)
        else:
            _current(blocking, key, event, by=by, pause=pause)
    _current(blocking, key, "ask", by="x")  # shortens what the former version stored
    _shift(blocking, key, max(CAP_MS, RESET_MS) + PROBE_MS)
    assert _current(blocking, key, "ask", by="y")[0]
    _current(blocking, key, "succeeded", by="y")
    assert _former(blocking, key, "ask")[0]
    assert all(_current(blocking, key, "ask", by=by)[0] for by in "abc")
