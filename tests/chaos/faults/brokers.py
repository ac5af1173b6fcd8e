"""Redis that dies, freezes, loses its data or is full."""

from __future__ import annotations

import signal
import time
from typing import Any

import httpx
from redis import Redis

from tests.chaos.lab import Lab, fault, reckon, sit_through, statuses, submit_many
from tests.chaos.switches import Switch
from tests.chaos.tickets import send_ticket
from tests.support.stack import Link, NotInTime, Stack

# Few slots and slow models keep tickets in the list: two, while four slots are busy.
SLOTS = 4
NARROW = {"AGENT_WORKER_CONCURRENCY": str(SLOTS)}
SLOW = ["--latency-ms", "300"]
TASKS = 20
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


@fault({Switch.REPAIR: r"queued \(queued\)"}, quick=[5], long=[30])
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
