"""Redis that dies, stands still, forgets everything or is full."""

from __future__ import annotations

import signal

from redis import Redis

from tests.chaos.lab import Lab, fault, reckon, sit_through, statuses, submit_many
from tests.chaos.switches import Switch
from tests.stack import Stack

# Few slots and slow models, so that tickets lie in the list.
NARROW = {"AGENT_WORKER_CONCURRENCY": "2"}
SLOW = ["--latency-ms", "300"]
TASKS = 20


def _wait_for_listed_tickets(stack: Stack) -> None:
    with _client(stack) as redis:
        stack.wait_until(lambda: int(redis.execute_command("LLEN", "agent_tasks")) >= 2, seconds=20)


def _client(stack: Stack) -> Redis:
    return Redis.from_url(stack.servers["broker"].url, socket_timeout=5)


@fault(Switch.REPAIR, quick=[1], long=[20, 60])
def redis_restarts_empty(lab: Lab, seconds: float) -> None:
    with lab.stack(settings=NARROW, simulator=SLOW) as stack:
        tasks = submit_many(stack, TASKS)
        _wait_for_listed_tickets(stack)
        stack.kill("broker")
        tasks += submit_many(stack, TASKS)
        sit_through(seconds)
        stack.start("broker")
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}


@fault(Switch.DISPATCHER, quick=[8], long=[40])
def redis_stands_still(lab: Lab, seconds: float) -> None:
    with lab.stack(settings=NARROW, simulator=SLOW) as stack:
        tasks = submit_many(stack, TASKS)
        _wait_for_listed_tickets(stack)
        stack.servers["broker"].signal(signal.SIGSTOP)
        tasks += submit_many(stack, TASKS)
        sit_through(seconds)
        stack.servers["broker"].signal(signal.SIGCONT)
        assert statuses(reckon(stack, tasks, seconds=45)) == {"completed"}


@fault(Switch.REPAIR, quick=[50], long=[1000])
def redis_is_flushed(lab: Lab, count: float) -> None:
    with lab.stack(simulator=SLOW) as stack:
        tasks = submit_many(stack, int(count))
        with _client(stack) as redis:
            redis.flushall()
        assert statuses(reckon(stack, tasks, seconds=120)) == {"completed"}


@fault(Switch.REPAIR, quick=[5], long=[30])
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
