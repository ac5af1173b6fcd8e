"""Whole tasks: API, worker and stores as processes, with a server of another project as the only one with models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.foreign_servers.installed_servers import LITELLM_KEY, LLAMA_KEY
from tests.support.stack import Plan, Stack, running_stack

CODE, MORE_CODE = "Write a Python function that reverses a list.", "Now for a string."
TEXT = "Write about tidal energy."


def _settings(url: str, *, key: str, chat: str, responses: str, messages: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "LLM_PEER_MODEL": f"openai:{chat}",
        "LLM_CONTENT_MODEL": f"openai:{chat}",
        "LLM_CODE_MODEL": f"openai:{responses}",
        "AGENT_PRIMARY_MODEL": f"openai:{chat}",
        "AGENT_FALLBACK_MODEL": f"anthropic:{messages}",
    }


@pytest.fixture(scope="module")
def behind_litellm(litellm: str) -> Iterator[Stack]:
    names = {"chat": "my-model", "responses": "gpt-6-mine", "messages": "claude-mine"}
    with running_stack(Plan(settings=_settings(litellm, key=LITELLM_KEY, **names))) as stack:
        yield stack


@pytest.fixture(scope="module")
def behind_llama(llama: str) -> Iterator[Stack]:
    names = {"chat": "tiny", "responses": "gpt-6-tiny", "messages": "claude-tiny"}
    with running_stack(Plan(settings=_settings(llama, key=LLAMA_KEY, **names))) as stack:
        yield stack


def _completed(stack: Stack, text: str, **fields: Any) -> dict[str, Any]:
    task = stack.wait(stack.submit(text, **fields)["task_id"])
    assert task["status"] == "completed", task["error"]
    return task


@pytest.mark.parametrize(("text", "agent"), [(CODE, "CodeAgent"), (TEXT, "ContentAgent")])
def test_litellm_routes_and_answers_a_task(behind_litellm: Stack, text: str, agent: str) -> None:
    task = _completed(behind_litellm, text)

    assert task["selected_agent"] == agent
    assert task["usage"]["output_tokens"] > 0
    assert not task["usage"]["estimated"]
    assert task["usage"]["cost_usd"] is None


def test_litellm_answers_the_second_turn_of_a_session(behind_litellm: Stack) -> None:
    first = _completed(behind_litellm, CODE)
    second = _completed(behind_litellm, MORE_CODE, session_id=first["session_id"])

    assert second["result"]["raw_output"]


def test_llama_answers_both_turns_of_a_session_with_a_named_agent(behind_llama: Stack) -> None:
    first = _completed(behind_llama, CODE, agent="CodeAgent")
    second = _completed(behind_llama, MORE_CODE, agent="CodeAgent", session_id=first["session_id"])

    assert second["usage"]["output_tokens"] > 0
    assert [attempt["status"] for step in second["steps"] for attempt in step["attempts"]] == ["ok"]
