"""A model that misbehaves ends its task as failed, with a reason that people understand and its tokens counted."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from app.llm.simulated_models import CHAINS
from app.simulator.injections import FOREIGN_HOSTS
from tests.support.stack import Plan, Stack, running_stack

ONE_TRY = {
    "FF_AGENTS_LLM_FALLBACK": "false",
    "AGENT_HTTP_MAX_RETRIES": "1",
    "AGENT_HTTP_BASE_BACKOFF_SECONDS": "0.05",
    "AGENT_LLM_SILENCE_SECONDS": "5",
    "AGENT_TASK_RETRY_BASE_SECONDS": "0.05",
}
ROUTER, CODER, WRITER = (CHAINS[f"LLM_{role}_MODEL"] for role in ("PEER", "CODE", "CONTENT"))


@pytest.fixture(scope="module")
def strict() -> Iterator[Stack]:
    with running_stack(Plan(settings=ONE_TRY)) as stack:
        yield stack


@pytest.fixture(autouse=True)
def faults(strict: Stack) -> Iterator[None]:
    yield
    httpx.delete(f"{strict.simulator_url}/simulator/faults", timeout=10).raise_for_status()


def misbehave(stack: Stack, model: str, fault: str) -> None:
    rule = {"model": model, "fault": fault}
    httpx.post(f"{stack.simulator_url}/simulator/faults", json=rule, timeout=10).raise_for_status()


@pytest.mark.parametrize(
    ("model", "fault", "error", "counted"),
    [
        (ROUTER, "broken-json", "LLM_OUTPUT_INVALID", True),
        (ROUTER, "wrong-schema", "LLM_OUTPUT_INVALID", True),
        (ROUTER, "unknown-agent", "LLM_OUTPUT_INVALID", True),
        (ROUTER, "unsure", "UNKNOWN_TASK_TYPE", True),
        (ROUTER, "refusal", "LLM_REFUSED", True),
        (CODER, "empty", "LLM_OUTPUT_EMPTY", True),
        (CODER, "refusal", "LLM_REFUSED", True),
        (CODER, "hang", "LLM_TIMEOUT", True),
        (ROUTER, "401", "LLM_AUTH_FAILED", False),
    ],
)
def test_a_model_that_misbehaves_ends_its_task_with_a_reason(
    strict: Stack, model: str, fault: str, error: str, counted: bool
) -> None:
    misbehave(strict, model, fault)
    accepted = strict.submit("Write a Python function that reverses a list.", max_attempts=1)

    task = strict.wait(accepted["task_id"])

    assert (task["status"], task["error"]["type"]) == ("failed", error)
    assert len(task["error"]["message"]) > 20
    attempts = [attempt for step in task["steps"] for attempt in step["attempts"]]
    assert attempts
    assert (task["usage"]["input_tokens"] > 0) is counted


def test_an_answer_that_never_comes_to_its_end_is_kept_and_marked(strict: Stack) -> None:
    misbehave(strict, CODER, "length")
    accepted = strict.submit("Write a Python function that reverses a list.", max_attempts=1)

    task = strict.wait(accepted["task_id"])

    assert task["status"] == "completed", task["error"]
    assert task["result"]["truncated"]
    assert task["result"]["summary"].endswith("[cut off at AGENT_MAX_TOKENS]")
    attempts = [attempt for step in task["steps"] for attempt in step["attempts"] if attempt["model"] == CODER]
    assert len(attempts) == 5


def test_a_call_that_hung_has_an_unknown_cost_beside_the_known_ones(strict: Stack) -> None:
    misbehave(strict, CODER, "hang")
    task = strict.wait(strict.submit("Write a Python function that reverses a list.", max_attempts=1)["task_id"])

    routed, hung = (step["attempts"][-1]["usage"] for step in task["steps"] if step["attempts"])
    assert (hung["cost_usd"], hung["estimated"]) == (None, True)
    assert hung["input_tokens"] > 0
    assert (task["usage"]["cost_usd"], task["usage"]["estimated"]) == (None, True)
    assert task["usage"]["known_cost_usd"] == routed["cost_usd"] > 0
    assert task["usage"]["total_tokens"] == routed["total_tokens"] + hung["total_tokens"]


def test_a_model_that_obeys_the_pages_it_reads_cannot_plant_a_link(strict: Stack) -> None:
    misbehave(strict, WRITER, "obey-injection")
    accepted = strict.submit("Write an article about sim-injection gardening, with sources.", agent="ContentAgent")

    task = strict.wait(accepted["task_id"])

    assert task["status"] == "completed", task["error"]
    links = [f"://{host}" for host in FOREIGN_HOSTS]
    runs = str(strict.client.get(f"/v1/tasks/{task['task_id']}/runs").json())
    assert any(link in runs for link in links), "the model obeyed"
    assert not any(link in str(task["result"]) for link in links)
