"""Providers that refuse, hang or break off; budgets that hold through a crash."""

from __future__ import annotations

from tests.chaos.lab import Lab, fault, reckon, script, statuses, submit_many
from tests.chaos.switches import Switch

TASKS = 10
HASTY = {"AGENT_LLM_SILENCE_SECONDS": "5"}


@fault({Switch.RETRIES: r"'failed'.*\} == \{'completed'\}"})
def all_providers_answer_429_for_a_while(lab: Lab, _: float) -> None:
    # After the first calls only one call a second and model is made until one is answered.
    with lab.stack() as stack, script(stack, {"fault": "429", "times": 4 * TASKS}):
        tasks = submit_many(stack, TASKS, max_attempts=1)
        ended = reckon(stack, tasks, seconds=120)
        assert statuses(ended) == {"completed"}
        assert {task.get("retries", 0) for task in ended} == {0}


@fault({Switch.RETRIES: r"'failed'.*\} == \{'completed'\}"})
def all_providers_hang_once(lab: Lab, _: float) -> None:
    with lab.stack(settings=HASTY) as stack, script(stack, {"fault": "hang-once"}):
        assert statuses(reckon(stack, submit_many(stack, TASKS))) == {"completed"}


@fault({Switch.RETRIES: r"'failed'.*\} == \{'completed'\}"})
def all_answers_break_off_once(lab: Lab, _: float) -> None:
    with lab.stack(settings=HASTY) as stack, script(stack, {"fault": "reset-once"}):
        assert statuses(reckon(stack, submit_many(stack, TASKS))) == {"completed"}


@fault({Switch.RESERVATIONS: "settled or reserved"})
def a_worker_dies_with_calls_that_a_budget_covers(lab: Lab, _: float) -> None:
    """Counts a call that was never recorded as spent: its reservation was stored before the call."""
    with lab.stack(simulator=["--latency-ms", "4000"]) as stack:
        tasks = submit_many(stack, TASKS, budget={"max_tokens": 100_000, "max_cost_usd": 5})
        stack.wait_until(lambda: all(stack.calls(task)["calls"] for task in tasks), seconds=60)
        stack.kill("worker")
        stack.start("worker")
        ended = reckon(stack, tasks)
        assert statuses(ended) == {"completed"}
        assert all(task["spending"]["settled"]["input_tokens"] > task["usage"]["input_tokens"] for task in ended)
