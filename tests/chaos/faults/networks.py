"""Networks that cut, lose or delay their traffic, through a proxy between the parts and the servers."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from redis import Redis

from tests.chaos.lab import Lab, fault, reckon, script, sit_through, statuses, submit_many, wait_for_calls
from tests.chaos.switches import Switch
from tests.support.stack import Link, Stack

STORE = Link("worker", "MONGO_URI")
BROKER = Link("worker", "REDIS_URL")
MODELS = Link("worker", "OPENAI_BASE_URL")
API_STORE = Link("api", "MONGO_URI")
PATIENT = {"AGENT_HTTP_MAX_RETRIES": "3"}
NARROW = {"AGENT_WORKER_CONCURRENCY": "4", "MONGO_TIMEOUT_SECONDS": "2"}
TASKS = 5
WAY_SECONDS = 20


def _wait_until_over(stack: Stack, tasks: list[str]) -> None:
    for task in tasks:
        stack.wait(task, seconds=30)


def _open_calls(stack: Stack) -> int:
    calls = stack.calls()
    return int(calls["calls"] - sum(calls["by_outcome"].values()))


def _first_worker_alone(stack: Stack, rule: dict[str, Any]) -> list[str]:
    """Submits tasks whose first calls are open in the first worker; starts the second worker then.

    The rule keeps these calls open for longer than a worker takes to start, also on a busy machine.
    """
    stack.parts["worker-2"].stop()
    with script(stack, rule):
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
    stack.parts["worker-2"].start()
    return tasks


@fault({Switch.LEASE: "called again at"})
def a_worker_that_cannot_reach_the_database_makes_no_further_call(lab: Lab, _: float) -> None:
    """Lets its first call fail after another worker has finished the task: a second try would be paid for nothing."""
    with lab.stack(workers=2, settings=PATIENT, links=[STORE]) as stack:
        tasks = _first_worker_alone(stack, {"fault": "slow-12000-once+down-once"})
        stack.links[STORE].half_open()
        _wait_until_over(stack, tasks)
        stack.wait_until(lambda: _open_calls(stack) == 0, seconds=30)  # the late failures have come
        sit_through(3)  # the time in which further tries would follow
        stack.links[STORE].heal()
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {2}


def _keep_connections_open(stack: Stack) -> None:
    """Lets the first worker have connections to spare: a delayed heartbeat holds one, and no new one is made then."""
    worker = stack.parts["worker"]
    worker.stop()
    worker.environment = {**worker.environment, STORE.variable: f"{worker.environment[STORE.variable]}&minPoolSize=8"}
    worker.start()


@fault({Switch.FENCING: "after completed"})
def a_write_arrives_after_its_lease(lab: Lab, _: float) -> None:
    """Delays the first worker's write for longer than the second worker needs to finish the task.

    The models answer soon after the delay has begun: the first worker still holds its lease, and records the answers.
    """
    with lab.stack(workers=2, settings=PATIENT, links=[STORE]) as stack:
        stack.parts["worker-2"].stop()
        _keep_connections_open(stack)
        with script(stack, {"fault": "slow-1500-once"}):
            tasks = submit_many(stack, TASKS)
            wait_for_calls(stack, TASKS)
        stack.links[STORE].delay(WAY_SECONDS)
        stack.wait_until(lambda: _open_calls(stack) == 0, seconds=30)  # the answers are on their way to the database
        stack.parts["worker-2"].start()
        _wait_until_over(stack, tasks)
        sit_through(WAY_SECONDS + 1)
        stack.links[STORE].heal()
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {2}


@fault({Switch.REPAIR: r"queued \(queued\)"})
def tickets_are_lost_between_redis_and_the_worker(lab: Lab, _: float) -> None:
    """Loses tickets that Redis has handed out and the worker never receives."""
    with lab.stack(links=[BROKER]) as stack:
        with Redis.from_url(stack.servers["broker"].url) as redis:
            stack.wait_until(lambda: redis.info("clients")["blocked_clients"] > 0, seconds=20)  # it waits for a ticket
        stack.links[BROKER].half_open()
        tasks = submit_many(stack, TASKS)
        sit_through(15)
        stack.links[BROKER].heal()
        assert statuses(reckon(stack, tasks, seconds=60)) == {"completed"}


@fault({Switch.REAPER: "did not end .*processing"})
def a_worker_is_cut_off_from_everything(lab: Lab, _: float) -> None:
    with lab.stack(workers=2, links=[STORE, BROKER, MODELS], settings=PATIENT) as stack:
        tasks = _first_worker_alone(stack, {"fault": "slow-12000-once"})
        for proxy in stack.links.values():
            proxy.cut()
        _wait_until_over(stack, tasks)
        stack.heal()
        tasks += submit_many(stack, TASKS)
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended[:TASKS]} == {2}


@fault({Switch.LETTING_GO: "did not end .*queued"})
def one_of_two_workers_loses_the_database(lab: Lab, _: float) -> None:
    """Lets one worker fetch tickets that it cannot claim: the other gets them while the first is still cut off."""
    with lab.stack(workers=2, links=[STORE], settings=NARROW) as stack:
        stack.links[STORE].half_open()
        tasks = submit_many(stack, 4 * TASKS)
        _wait_until_over(stack, tasks)
        stack.links[STORE].heal()
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert {task.get("crashes", 0) for task in ended} == {0}


@fault({Switch.RETRIES: r"'failed'.*\} == \{'completed'\}"})
def the_way_to_the_models_is_cut(lab: Lab, _: float) -> None:
    links = [MODELS, Link("worker", "ANTHROPIC_BASE_URL")]
    with lab.stack(links=links, simulator=["--latency-ms", "1000"]) as stack:
        tasks = submit_many(stack, TASKS, max_attempts=50)
        wait_for_calls(stack, TASKS)
        for proxy in stack.links.values():
            proxy.cut()
        sit_through(4)
        stack.heal()
        assert statuses(reckon(stack, tasks, seconds=90)) == {"completed"}


@fault({Switch.IDEMPOTENCY_KEY: r"\d+ == 5"})
def answers_of_the_database_never_reach_the_api(lab: Lab, _: float) -> None:
    """Repeats the same request with its key until there is an answer: each key has one task."""
    with lab.stack(links=[API_STORE], settings={"MONGO_TIMEOUT_SECONDS": "1"}) as stack:
        tasks = [_submit_until_accepted(stack, number) for number in range(TASKS)]
        assert statuses(reckon(stack, tasks, seconds=60)) == {"completed"}
        with stack.database() as db:
            assert db["tasks"].count_documents({}) == TASKS


def _submit_until_accepted(stack: Stack, number: int) -> str:
    key = uuid.uuid4().hex
    proxy = stack.links[API_STORE]
    proxy.delay(0.7)  # the answer takes 1.4 s, the driver waits for one
    for _ in range(20):
        answer = _try_to_submit(stack, number, key)
        if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
            return str(answer.json()["task_id"])
        proxy.heal()
    raise AssertionError("never accepted")


def _try_to_submit(stack: Stack, number: int, key: str) -> httpx.Response | None:
    try:
        return stack.client.post(
            "/v1/agent/execute",
            json={"task": f"Write a Python function that returns {number}."},
            headers={"Idempotency-Key": key},
        )
    except httpx.HTTPError:
        return None
