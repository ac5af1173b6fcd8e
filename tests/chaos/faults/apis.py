"""API processes that die between two steps of accepting a task, clients that repeat requests, two leaders at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.chaos.faults.workers import once
from tests.chaos.lab import CODE, LEASE_SECONDS, Lab, fault, reckon, sit_through, statuses, submit_many, wait_for_calls
from tests.chaos.switches import Switch
from tests.support.stack import Stack

TASKS = 10
POSTS = 50


@fault({Switch.REPAIR: r"queued \(queued\)"})
def an_api_dies_between_insert_and_publish(lab: Lab, _: float) -> None:
    with once() as mark, lab.stack(api=["--die-at", "publishing", "--once", str(mark)]) as stack:
        keys = [f"key-{number}" for number in range(TASKS)]
        tasks = [_submit_with_key(stack, keys[0])]
        stack.wait_until(mark.exists, seconds=20)  # tickets are sent after the caller has its answer
        tasks += [_submit_with_key(stack, key) for key in keys[1:]]
        assert statuses(reckon(stack, tasks)) == {"completed"}
        assert len(set(tasks)) == TASKS


@fault({Switch.IDEMPOTENCY_KEY: "one more item"})
def an_api_dies_before_it_answers(lab: Lab, _: float) -> None:
    with once() as mark, lab.stack(api=["--die-at", "inserted", "--once", str(mark)]) as stack:
        task = _submit_with_key(stack, "key")
        assert mark.exists()
        with stack.database() as db:
            assert [found["_id"] for found in db["tasks"].find({}, {"_id": 1})] == [task]
        assert statuses(reckon(stack, [task])) == {"completed"}


def _submit_with_key(stack: Stack, key: str) -> str:
    """Submits as a careful client does: repeats the same request until there is an answer. Restarts a dead API."""
    while True:
        try:
            return str(stack.submit(CODE.format(number=key), headers={"Idempotency-Key": key})["task_id"])
        except httpx.TransportError:
            stack.wait_until(lambda: not stack.parts["api"].alive, seconds=10)
            stack.start("api")


@fault({Switch.IDEMPOTENCY_KEY: r"\d+ == 1"})
def fifty_posts_come_with_one_key(lab: Lab, _: float) -> None:
    with lab.stack() as stack, ThreadPoolExecutor(POSTS) as clients:

        def post(_: int) -> Any:
            return stack.submit(CODE.format(number=1), headers={"Idempotency-Key": "one"})["task_id"]

        tasks = set(clients.map(post, range(POSTS)))
        assert len(tasks) == 1
        assert statuses(reckon(stack, list(tasks))) == {"completed"}
        with stack.database() as db:
            assert db["tasks"].count_documents({}) == 1


@fault(
    {
        Switch.COMPARE_AND_SET: "requeued requeued|requeued while no worker ran it|did not end .*(requeued claimed ){2}"
        r"|2\} <= \{0, 1\}"
    },
)
def two_leaders_reap_at_once(lab: Lab, _: float) -> None:
    """Lets both leaders read before either writes: each crash counts once, and no worker loses a task just claimed."""
    with lab.stack(apis=2, workers=2, api=["--everybody-leads", "1"], simulator=["--latency-ms", "4000"]) as stack:
        sit_through(2 * LEASE_SECONDS)  # a new leader excuses what it finds in its first round
        stack.parts["worker-2"].stop()
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        stack.kill("worker")
        stack.parts["worker-2"].start()
        ended = reckon(stack, tasks, seconds=60)
        assert statuses(ended) == {"completed"}
        assert {task.get("crashes", 0) for task in ended} <= {0, 1}  # none if a leader had a gap of its own
        assert {task["attempts"] for task in ended} == {2}


@fault({Switch.LEADER_LOCK_EXPIRY: r"did not end .*processing \(queued claimed"})
def the_leader_dies_and_another_takes_over(lab: Lab, _: float) -> None:
    with lab.stack(apis=2, workers=2, simulator=["--latency-ms", "4000"]) as stack:
        leader, other = _leader_and_other(stack)
        stack.client.base_url = httpx.URL(f"http://127.0.0.1:{stack.parts[other].environment['AGENT_API_PORT']}")
        stack.parts["worker-2"].stop()
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        stack.kill("worker")
        stack.kill(leader)
        stack.parts["worker-2"].start()
        tasks += submit_many(stack, TASKS)
        ended = reckon(stack, tasks, seconds=60)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended[:TASKS]} == {2}


def _leader_and_other(stack: Stack) -> tuple[str, str]:
    def leads(name: str) -> bool:
        return any(line["message"] == "leadership_taken" for line in stack.parts[name].log_lines())

    stack.wait_until(lambda: leads("api") or leads("api-2"), seconds=20)
    return ("api", "api-2") if leads("api") else ("api-2", "api")
