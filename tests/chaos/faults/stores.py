"""A database that dies or answers late. An outage costs no attempt: runs wait for it and go on."""

from __future__ import annotations

import signal

from tests.chaos.lab import Lab, fault, reckon, sit_through, statuses, submit_many, wait_for_calls
from tests.chaos.switches import Switch
from tests.support.stack import Link, NotInTime

TASKS = 10
SLOW = ["--latency-ms", "2000"]
LINKS = [Link("worker", "MONGO_URI"), Link("api", "MONGO_URI")]


# A run that gives up may lose its task's last attempt, too.
@fault({Switch.PATIENCE: r"2\} == \{1\}|'failed'.*== \{'completed'\}"}, quick=[5], long=[60])
def the_database_dies_and_comes_back(lab: Lab, seconds: float) -> None:
    # Shorter than the lease of these stories, as by default: a reap that waits for its answer would be let through.
    with lab.stack(simulator=SLOW, settings={"MONGO_TIMEOUT_SECONDS": "2"}) as stack:
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        stack.kill("store")
        refused = stack.client.post("/v1/agent/execute", json={"task": "Write about outages."})
        sit_through(seconds)
        stack.start("store")
        ended = reckon(stack, tasks, seconds=60)
        assert (refused.status_code, refused.json()["code"]) == (503, "STORE_UNAVAILABLE")
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {1}


# Without patience a run ends as failed if the write of this end arrives, and else it runs again.
@fault({Switch.PATIENCE: r"2\} == \{1\}|'failed'.*== \{'completed'\}"}, quick=[10])
def the_database_answers_after_the_driver_gave_up(lab: Lab, seconds: float) -> None:
    """Lets writes arrive whose answers come too late: each is repeated, and counts once."""
    settings = {"MONGO_TIMEOUT_SECONDS": "1", "AGENT_LEASE_SECONDS": "30"}
    with lab.stack(simulator=SLOW, settings=settings, links=LINKS) as stack:
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        for proxy in stack.links.values():
            proxy.delay(2)
        sit_through(seconds)
        stack.heal()
        ended = reckon(stack, tasks, seconds=90)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {1}


@fault({Switch.ABANDONING: "has not ended"})
def a_worker_is_asked_to_stop_while_the_database_is_unavailable(lab: Lab, _: float) -> None:
    """Stops a worker that may wait for the database only as long as its leases last; the next one goes on."""
    settings = {"AGENT_WORKER_GRACE_SECONDS": "1", "MONGO_TIMEOUT_SECONDS": "2"}
    with lab.stack(simulator=SLOW, settings=settings) as stack:
        tasks = submit_many(stack, TASKS)
        wait_for_calls(stack, TASKS)
        stack.kill("store")
        stack.parts["worker"].send_signal(signal.SIGTERM)
        try:
            stack.wait_until(lambda: not stack.parts["worker"].alive, seconds=30)
        except NotInTime:
            raise AssertionError("the worker has not ended") from None
        stack.start("store")
        stack.start("worker")
        ended = reckon(stack, tasks, seconds=60)
        assert statuses(ended) == {"completed"}
        assert {task["attempts"] for task in ended} == {2}


@fault({Switch.REAPER: r"did not end .*processing \(queued claimed"}, quick=[2])
def the_database_is_slow(lab: Lab, delay_seconds: float) -> None:
    """Delays every answer by twice the delay while a worker dies; no time limit leads to a wrong end."""
    settings = {"MONGO_TIMEOUT_SECONDS": "10", "AGENT_LEASE_SECONDS": "15"}
    with lab.stack(simulator=SLOW, settings=settings, links=LINKS) as stack:
        tasks = submit_many(stack, TASKS)
        for proxy in stack.links.values():
            proxy.delay(delay_seconds)
        wait_for_calls(stack, 2)
        stack.kill("worker")
        stack.parts["worker"].launch()
        sit_through(20)
        stack.heal()
        stack.parts["worker"].wait_until_ready()
        assert statuses(reckon(stack, tasks, seconds=120)) == {"completed"}
