"""llama.cpp's own server, with a model that writes nonsense: its protocol, and schemas that it enforces."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from app.errors import LLMAuthFailed, LLMBadRequest, LLMOutputInvalid, LLMOutputTruncated
from app.llm.interface import Completion, ModelRole
from tests.foreign_servers.conftest import AskServer
from tests.foreign_servers.conversation import DECISION, QUESTION, ROUTING, SECOND_TURN, Decision
from tests.foreign_servers.installed_servers import LLAMA_KEY

# The server has one model and answers under every name.
CHAT, RESPONSES, MESSAGES = ENDPOINTS = ("openai:tiny", "openai:gpt-6-tiny", "anthropic:claude-tiny")


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_plain_answer_is_counted_by_the_server(ask: AskServer, llama: str, model: str) -> None:
    completion: Completion[BaseModel] = await ask(llama, model, key=LLAMA_KEY).llm.complete(
        QUESTION, role=ModelRole.PEER
    )

    assert completion.text
    assert completion.usage.output_tokens > 0
    assert not completion.usage.estimated
    assert completion.usage.cost_microusd is None


async def test_a_schema_is_enforced_over_chat_completions(ask: AskServer, llama: str) -> None:
    completion = await ask(llama, CHAT, key=LLAMA_KEY).llm.complete(DECISION, role=ModelRole.PEER, schema=Decision)

    assert isinstance(completion.parsed, Decision)
    assert [attempt.status for attempt in completion.attempts] == ["ok"]


async def test_a_decision_of_the_router_is_read(ask: AskServer, llama: str) -> None:
    completion = await ask(llama, CHAT, key=LLAMA_KEY).llm.complete(QUESTION, role=ModelRole.PEER, schema=ROUTING)

    assert completion.parsed is not None
    assert completion.parsed.agent_name in ("CodeAgent", "ContentAgent", "Unknown")
    assert 0 <= completion.parsed.confidence <= 1


@pytest.mark.parametrize("model", [RESPONSES, MESSAGES])
async def test_a_schema_that_the_server_ignores_is_left_to_the_next_model(
    ask: AskServer, llama: str, model: str
) -> None:
    asked = ask(llama, model, key=LLAMA_KEY, fallback=CHAT)
    completion = await asked.llm.complete(DECISION, role=ModelRole.PEER, schema=Decision)

    assert isinstance(completion.parsed, Decision)
    assert {attempt.error_type for attempt in completion.attempts[:-1]} == {LLMOutputInvalid.code}


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_streamed_answer_is_whole_and_counted(ask: AskServer, llama: str, model: str) -> None:
    pieces: list[str] = []

    completion = await ask(llama, model, key=LLAMA_KEY).llm.chat(
        QUESTION, role=ModelRole.CONTENT, on_text=pieces.append
    )

    assert completion.text == "".join(pieces)
    assert completion.usage.output_tokens > 0
    assert not completion.usage.estimated


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_second_turn_brings_the_first_one_with_it(ask: AskServer, llama: str, model: str) -> None:
    asked = ask(llama, model, key=LLAMA_KEY)
    first = await asked.llm.chat(QUESTION, role=ModelRole.CONTENT)
    second = await asked.llm.chat(SECOND_TURN, role=ModelRole.CONTENT)

    assert second.text
    assert second.usage.input_tokens > first.usage.input_tokens


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_wrong_key_is_an_auth_error_with_the_servers_own_code(ask: AskServer, llama: str, model: str) -> None:
    with pytest.raises(LLMAuthFailed, match="401 authentication_error"):
        await ask(llama, model, key="sk-wrong").llm.chat(QUESTION, role=ModelRole.CODE)


@pytest.mark.parametrize(
    ("model", "variable"),
    [(CHAT, "OPENAI_BASE_URL"), (RESPONSES, "OPENAI_BASE_URL"), (MESSAGES, "ANTHROPIC_BASE_URL")],
)
async def test_a_wrong_base_url_is_named(ask: AskServer, llama: str, model: str, variable: str) -> None:
    with pytest.raises(LLMBadRequest, match=variable):
        await ask(llama, model, key=LLAMA_KEY, paths=("/v2", "/v2")).llm.chat(QUESTION, role=ModelRole.CODE)


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_an_endless_answer_is_continued_and_marked(ask: AskServer, endless_llama: str, model: str) -> None:
    completion: Completion[BaseModel] = await ask(endless_llama, model, key=LLAMA_KEY).llm.complete(
        QUESTION, role=ModelRole.CONTENT, max_tokens=20
    )

    assert completion.truncated
    assert [attempt.status for attempt in completion.attempts] == ["ok"] * 5


async def test_structured_output_that_is_cut_off_is_left_to_the_next_model(ask: AskServer, endless_llama: str) -> None:
    asked = ask(endless_llama, CHAT, key=LLAMA_KEY, fallback="openai:tiny-2")
    with pytest.raises(LLMOutputTruncated):
        await asked.llm.complete(DECISION, role=ModelRole.PEER, schema=Decision, max_tokens=3)

    assert [attempt.model for attempt in asked.recorded] == ["tiny", "tiny-2"]
