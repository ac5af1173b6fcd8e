"""Redis that dies, freezes, loses its data, refuses writes or becomes a replica."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from redis import Redis

from app.broker.channels import WORKERS_KEY
from tests.chaos.lab import Lab, fault, reckon, sit_through, statuses, submit_many
from tests.chaos.switches import Switch
from tests.chaos.tickets import send_ticket
from tests.support.servers import broker_server
from tests.support.stack import Link, NotInTime, Stack

# Few slots and slow models keep tickets in the list: two, while four slots are busy.
SLOTS = 4
NARROW = {"AGENT_WORKER_CONCURRENCY": str(SLOTS)}
SLOW = ["--latency-ms", "300"]
TASKS = 20
CONNECTIONS = 24
EXCUSED_SECONDS = 5  # a hub that waited for Redis counts as ticking for this long after Redis is back
SILENT_SECONDS = 1.5  # longer than a hub that ticks is silent
LINK = Link("worker", "REDIS_URL")


def _wait_for_listed_tickets(stack: Stack) -> None:
    with _client(stack) as redis:
        stack.wait_until(lambda: int(redis.execute_command("LLEN", "agent_tasks")) >= 2, seconds=20)


def _client(stack: Stack) -> Redis:
    return Redis.from_url(stack.servers["broker"].url, socket_timeout=5)


@fault({Switch.REPAIR: r"queued \(queued\)"}, quick=[1], long=[20, 60])
def redis_restarts_empty(lab: Lab, seconds: float) -> None:
    with lab.stack(settings=NARROW, simulator=SLOW) as stack:
        tasks = submit_many(stack, TASKS)
        _wait_for_listed_tickets(stack)
        stack.kill("broker")
        tasks += submit_many(stack, TASKS)
        sit_through(seconds)
        assert stack.parts["worker"].ready
        stack.start("broker")
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}
        _must_tick(stack)


@fault({Switch.HUB_TICK: "the hub does not tick"}, quick=[5], long=[40])
def the_way_to_redis_is_cut(lab: Lab, seconds: float) -> None:
    """Cuts Redis off: the worker reconnects, and its probe stays healthy, because a restart would not help."""
    with lab.stack(links=[LINK], simulator=SLOW) as stack:
        tasks = submit_many(stack, 1)
        stack.wait(tasks[0])
        # A hub counts as silent only after its first tick, which comes a second after the start.
        stack.wait_until(lambda: _hub_silent_seconds(stack) > 0, seconds=20)
        stack.links[LINK].cut()
        sit_through(seconds)
        assert stack.parts["worker"].ready
        stack.links[LINK].heal()
        tasks += submit_many(stack, TASKS)
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}
        _must_tick(stack)


def _must_tick(stack: Stack) -> None:
    """Fails if the hub does not tick: the worker's probe would have it restarted."""
    sit_through(EXCUSED_SECONDS)
    try:
        stack.wait_until(lambda: _ticks(stack), seconds=40)
    except NotInTime:
        raise AssertionError("the hub does not tick") from None
    assert stack.parts["worker"].ready


def _ticks(stack: Stack) -> bool:
    """Returns True if the hub ticks for longer than a hub could that is merely excused."""
    until = time.monotonic() + 2 * SILENT_SECONDS
    while time.monotonic() < until:
        if _hub_silent_seconds(stack) > SILENT_SECONDS:
            return False
        time.sleep(0.1)
    return True


def _hub_silent_seconds(stack: Stack) -> float:
    return float(httpx.get(stack.parts["worker"].probe).json()["hub_silent_seconds"])


@fault({Switch.BROKER_TIMEOUTS: "nothing is accepted"}, quick=[8], long=[40])
def redis_freezes(lab: Lab, seconds: float) -> None:
    with lab.stack(settings=NARROW, simulator=SLOW) as stack:
        tasks = submit_many(stack, 1)
        stack.wait(tasks[0])  # nothing waits: the ticket of the next task would be sent as it is accepted
        stack.servers["broker"].send_signal(signal.SIGSTOP)
        try:
            tasks += submit_many(stack, TASKS)
        except httpx.TimeoutException as late:
            raise AssertionError("nothing is accepted while Redis is frozen") from late
        sit_through(seconds)
        assert stack.parts["worker"].ready
        stack.servers["broker"].send_signal(signal.SIGCONT)
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}
        _must_tick(stack)


@fault({Switch.REPAIR: r"queued \(queued\)"}, quick=[50], long=[1000])
def redis_is_flushed(lab: Lab, count: float) -> None:
    slots = {"AGENT_WORKER_CONCURRENCY": str(max(SLOTS, int(count) // 100))}
    with lab.stack(settings=slots, simulator=SLOW) as stack:
        tasks = submit_many(stack, int(count))
        _wait_for_listed_tickets(stack)
        with _client(stack) as redis:
            redis.flushall()
        assert statuses(reckon(stack, tasks, seconds=60 + count / 4)) == {"completed"}


@fault({Switch.REFUSED_TICKETS: r"queued \(queued\)"}, quick=[5], long=[30])
def redis_is_full(lab: Lab, seconds: float) -> None:
    with lab.stack(settings=NARROW, simulator=SLOW) as stack:
        tasks = submit_many(stack, 1)
        stack.wait(tasks[0])
        with _client(stack) as redis:
            redis.config_set("maxmemory", "1mb")
            tasks += submit_many(stack, TASKS)
            sit_through(seconds)
            redis.config_set("maxmemory", "0")
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}


@fault({Switch.BROKER_REFUSALS: "the worker has ended"}, quick=[5], long=[30])
def redis_is_full_beside_tickets(lab: Lab, seconds: float) -> None:
    """Fills Redis while tickets are in its list: fetching one needs a write, which is refused."""
    _refuse_by_setting(lab, seconds, "maxmemory", "1mb", reason="it is full")


@fault({Switch.BROKER_REFUSALS: "the worker has ended"}, quick=[5], long=[30])
def redis_has_too_few_replicas(lab: Lab, seconds: float) -> None:
    _refuse_by_setting(lab, seconds, "min-replicas-to-write", "1", reason="fewer replicas")


@fault({Switch.BROKER_REFUSALS: "the worker has ended"}, quick=[5], long=[30])
def redis_cannot_save(lab: Lab, seconds: float) -> None:
    with _refusing_stack(lab) as (stack, tasks), _client(stack) as redis:
        redis.config_set("save", "3600 1")  # only a Redis that is to save refuses writes when it cannot
        in_the_way = Path(redis.config_get("dir")["dir"]) / redis.config_get("dbfilename")["dbfilename"]
        in_the_way.unlink(missing_ok=True)
        in_the_way.mkdir()
        redis.bgsave()
        stack.wait_until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", seconds=20)
        tasks += _sit_through_refusals(stack, seconds, reason="cannot save")
        redis.config_set("save", "")
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}
        _must_tick(stack)


@fault({Switch.BROKER_REFUSALS: "did not end", Switch.LEAVING_REPLICAS: "does not find the primary"})
def redis_becomes_a_replica(lab: Lab, _: float) -> None:
    """Fails over to another Redis behind the same address, and leaves the connections to the old one open."""
    ways = [LINK, Link("api", "REDIS_URL")]
    with (
        broker_server() as other,
        lab.stack(settings=NARROW, simulator=SLOW, links=ways) as stack,
        _client(stack) as redis,
    ):
        # The worker waits for a ticket: a server that becomes a replica ends that wait with an error.
        tasks = submit_many(stack, 1)
        stack.wait(tasks[0])
        _open_connections(stack)
        redis.execute_command("SADD", WORKERS_KEY, "a-dead-worker")
        primary = urlsplit(other.url)
        for way in ways:
            stack.links[way].redirect(str(primary.hostname), int(primary.port or 0))
        redis.execute_command("REPLICAOF", str(primary.hostname), str(primary.port))
        tasks += submit_many(stack, TASKS)
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}
        assert stack.parts["worker"].alive, "the worker has ended"
        try:
            stack.wait_until(lambda: _readiness(stack)["status"] == "ready", seconds=10)
        except NotInTime:
            raise AssertionError("the API does not find the primary") from None
        _must_tick(stack)


def _open_connections(stack: Stack) -> None:
    """Makes the API open more connections to Redis than it needs later, so that it opens none to the new primary."""
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        asked = threads.map(lambda _: stack.client.delete("/v1/system/workers/nobody/drain"), range(10 * CONNECTIONS))
        assert {answer.status_code for answer in asked} == {404}


@contextmanager
def _refusing_stack(lab: Lab) -> Iterator[tuple[Stack, list[str]]]:
    """Starts a stack with tickets in the list and tasks that run; yields it with their ids."""
    with lab.stack(settings=NARROW, simulator=SLOW) as stack:
        tasks = submit_many(stack, TASKS)
        _wait_for_listed_tickets(stack)
        yield stack, tasks


def _refuse_by_setting(lab: Lab, seconds: float, setting: str, value: str, *, reason: str) -> None:
    with _refusing_stack(lab) as (stack, tasks), _client(stack) as redis:
        redis.config_set(setting, value)
        tasks += _sit_through_refusals(stack, seconds, reason=reason)
        redis.config_set(setting, "0")
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}
        _must_tick(stack)


def _sit_through_refusals(stack: Stack, seconds: float, *, reason: str) -> list[str]:
    """Hands in tasks while Redis refuses writes, and checks that this is told and that the worker lives on."""
    tasks = submit_many(stack, TASKS)
    stack.wait_until(lambda: reason in str(_readiness(stack)["dependencies"]), seconds=10)
    assert _readiness(stack)["status"] == "degraded"
    assert reason in str(stack.client.get("/v1/system/metrics").json()["dependencies"]["redis"])
    sit_through(seconds)
    assert stack.parts["worker"].alive, "the worker has ended"
    assert stack.parts["worker"].ready
    return tasks


def _readiness(stack: Stack) -> dict[str, Any]:
    view: dict[str, Any] = stack.client.get("/ready").json()
    return view


@fault({Switch.RECONNECT: r"queued \(queued\)"})
def redis_restarts_after_a_drain(lab: Lab, _: float) -> None:
    """Pauses and resumes the consumer before Redis restarts: it must fetch on the next connection, too."""
    with lab.stack(simulator=SLOW) as stack:
        tasks = submit_many(stack, 1)
        stack.wait(tasks[0])
        worker = _only_worker(stack)
        stack.client.post(f"/v1/system/workers/{worker['worker_id']}/drain", json={"seconds": 60}).raise_for_status()
        stack.wait_until(lambda: bool(_only_worker(stack)["draining"]), seconds=20)
        stack.client.delete(f"/v1/system/workers/{worker['worker_id']}/drain").raise_for_status()
        stack.wait_until(lambda: not _only_worker(stack)["draining"], seconds=20)
        stack.kill("broker")
        stack.start("broker")
        tasks += submit_many(stack, TASKS)
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}


@fault({Switch.RECONNECT: r"queued \(queued\)"})
def redis_restarts_after_the_database_did(lab: Lab, _: float) -> None:
    with lab.stack(simulator=SLOW, settings={"MONGO_TIMEOUT_SECONDS": "1"}) as stack:
        tasks = submit_many(stack, 1)
        stack.wait(tasks[0])
        stack.kill("store")
        send_ticket(stack, tasks[0], number=9)
        stack.wait_until(lambda: _logged(stack, "database_lost"), seconds=20)
        stack.start("store")
        stack.wait_until(lambda: _logged(stack, "database_found_again"), seconds=20)
        stack.kill("broker")
        stack.start("broker")
        tasks += submit_many(stack, TASKS)
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}


def _only_worker(stack: Stack) -> dict[str, Any]:
    found: list[dict[str, Any]] = stack.client.get("/v1/system/metrics").json()["workers"]
    return found[0]


def _logged(stack: Stack, message: str) -> bool:
    return any(line["message"] == message for line in stack.parts["worker"].log_lines())
