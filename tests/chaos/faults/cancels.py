"""Cancels in every state of a task, and in a race with its end."""

from __future__ import annotations

import random
import threading
import time

from tests.chaos.lab import NEXT_YEAR, Lab, fault, reckon, statuses, submit_many, wait_for_calls
from tests.chaos.switches import Switch
from tests.support.stack import Stack

TASKS = 40
LONGEST_SECONDS = 4.0


@fault({Switch.CANCEL: "did not end .*cancel_requested"})
def tasks_are_cancelled_in_every_state(lab: Lab, _: float) -> None:
    settings = {"AGENT_WORKER_CONCURRENCY": "20"}
    with lab.stack(settings=settings, simulator=["--latency-ms", "20000"]) as stack:
        running = submit_many(stack, 20)
        wait_for_calls(stack, 20)
        waiting = submit_many(stack, 20)
        delayed = submit_many(stack, 5, run_at=NEXT_YEAR)
        for task in [*waiting, *delayed, *running]:
            _cancel(stack, task)
        assert statuses(reckon(stack, [*running, *waiting, *delayed])) == {"cancelled"}
        assert stack.calls()["calls"] == len(running)


@fault({Switch.LAST_END: "cancelled after completed"})
def cancels_race_the_ends_of_tasks(lab: Lab, _: float) -> None:
    """Cancels each task at a moment of its own, before or after its end; either way it ends once."""
    with lab.stack(simulator=["--latency-ms", "400"]) as stack:
        tasks = submit_many(stack, TASKS)
        moments = random.Random(4)
        threads = [_cancel_after(stack, task, moments.uniform(0, LONGEST_SECONDS)) for task in tasks]
        for thread in threads:
            thread.join()
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed", "cancelled"}


def _cancel(stack: Stack, task_id: str) -> None:
    stack.client.post(f"/v1/tasks/{task_id}/cancel").raise_for_status()


def _cancel_after(stack: Stack, task_id: str, seconds: float) -> threading.Thread:
    def run() -> None:
        time.sleep(seconds)
        _cancel(stack, task_id)

    thread = threading.Thread(target=run)
    thread.start()
    return thread
