"""Agents written with LangChain run as others do: through API, ticket, claim and journal, with the gateway's models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.system.dying_agent import DEATH_MARK
from tests.support.stack import Plan, Stack, running_stack
from tests.unit.agents.test_adding_an_agent import documented

PLUGINS = "unit_agent:UnitAgent,tests.integration.system.dying_agent:DyingAgent"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "unit_agent.py").write_text(documented("python", 2))
    settings = {"AGENT_PLUGINS": PLUGINS, "PYTHONPATH": str(folder), DEATH_MARK: str(folder / "died")}
    with running_stack(Plan(settings=settings)) as running:
        running.wait_until(lambda: {"UnitAgent", "DyingAgent"} <= agents_of(running), seconds=20)
        yield running


def agents_of(stack: Stack) -> set[str]:
    """Reads the names of the agents that the worker has published so far: they come one by one."""
    return {agent["name"] for agent in stack.client.get("/v1/agents").json()["items"]}


def model_runs(stack: Stack, task_id: str) -> list[dict[str, Any]]:
    """Reads the steps that are calls of a chat model."""
    runs = stack.client.get(f"/v1/tasks/{task_id}/runs").json()["items"]
    return [run for run in runs if run["node"] == "model"]


def test_the_documented_agent_answers_with_its_tool_and_every_call_is_paid_once(stack: Stack) -> None:
    accepted = stack.submit("Convert the length of one mile into another unit", agent="UnitAgent")

    task = stack.wait(accepted["task_id"])

    assert task["status"] == "completed", task["error"]
    first, second = model_runs(stack, task["task_id"])
    (call,) = first["output"]["tool_calls"]
    assert call["name"] == "convert_length"
    assert task["result"]["raw_output"] == second["output"]["content"]
    assert "what the tools returned" in task["result"]["raw_output"]
    counted = stack.calls(task["task_id"])
    assert counted["by_step"] == {first["step"]: 1, second["step"]: 1}
    assert task["usage"]["total_tokens"] == counted["input_tokens"] + counted["output_tokens"]


def test_a_budget_holds_for_it(stack: Stack) -> None:
    accepted = stack.submit("Convert the length of one mile", agent="UnitAgent", budget={"max_tokens": 300})

    task = stack.wait(accepted["task_id"])

    assert (task["status"], task["error"]["type"]) == ("failed", "BUDGET_EXCEEDED")


def test_a_worker_killed_between_two_calls_costs_no_call(stack: Stack) -> None:
    task_id = stack.submit("Read the meter of the boiler", agent="DyingAgent")["task_id"]
    stack.wait_until(lambda: not stack.parts["worker"].alive, seconds=20)
    assert stack.calls(task_id)["calls"] == 1
    stack.start("worker")

    task = stack.wait(task_id)

    assert (task["status"], task["attempts"], task["crashes"]) == ("completed", 2, 1)
    assert "42 bar" in task["result"]["raw_output"]
    assert stack.calls(task_id)["by_step"] == {run["step"]: 1 for run in model_runs(stack, task_id)}
    assert stack.calls(task_id)["calls"] == 2
