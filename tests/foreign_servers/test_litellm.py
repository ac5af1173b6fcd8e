"""LiteLLM's proxy, in front of the simulator: chat completions, responses and messages."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from app.errors import LLMAuthFailed, LLMBadRequest, LLMModelNotFound
from app.llm.interface import Completion, ModelRole
from tests.foreign_servers.conftest import AskServer
from tests.foreign_servers.conversation import DECISION, QUESTION, SECOND_TURN, Decision
from tests.foreign_servers.installed_servers import LITELLM_KEY

ENDPOINTS = ["openai:my-model", "openai:gpt-6-mine", "anthropic:claude-mine"]


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_plain_answer_is_counted_by_the_server(ask: AskServer, litellm: str, model: str) -> None:
    completion: Completion[BaseModel] = await ask(litellm, model, key=LITELLM_KEY).llm.complete(
        QUESTION, role=ModelRole.PEER
    )

    assert completion.text
    assert completion.usage.input_tokens > 0
    assert completion.usage.output_tokens > 0
    assert not completion.usage.estimated
    assert completion.usage.cost_microusd is None  # nobody here knows what a proxy charges


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_structured_output_is_validated(ask: AskServer, litellm: str, model: str) -> None:
    completion = await ask(litellm, model, key=LITELLM_KEY).llm.complete(DECISION, role=ModelRole.PEER, schema=Decision)

    assert isinstance(completion.parsed, Decision)
    assert [attempt.status for attempt in completion.attempts] == ["ok"]


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_streamed_answer_is_whole_and_counted(ask: AskServer, litellm: str, model: str) -> None:
    pieces: list[str] = []

    completion = await ask(litellm, model, key=LITELLM_KEY).llm.chat(
        QUESTION, role=ModelRole.CONTENT, on_text=pieces.append
    )

    assert completion.text == "".join(pieces)
    assert len(pieces) > 1
    assert completion.usage.output_tokens > 0
    assert not completion.usage.estimated


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_second_turn_brings_the_first_one_with_it(ask: AskServer, litellm: str, model: str) -> None:
    asked = ask(litellm, model, key=LITELLM_KEY)
    first = await asked.llm.chat(QUESTION, role=ModelRole.CONTENT)
    second = await asked.llm.chat(SECOND_TURN, role=ModelRole.CONTENT)

    assert second.text
    assert second.usage.input_tokens > first.usage.input_tokens


@pytest.mark.parametrize("vendor", ["openai:no-such-model", "openai:gpt-6-no-such-model", "anthropic:no-such-model"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_is_named_and_passed_over(
    ask: AskServer, litellm: str, vendor: str, *, stream: bool
) -> None:
    llm = ask(litellm, vendor, key=LITELLM_KEY, fallback="openai:my-model").llm
    completion: Completion[BaseModel] = (
        await llm.chat(QUESTION, role=ModelRole.PEER) if stream else await llm.complete(QUESTION, role=ModelRole.PEER)
    )

    refused, answered = completion.attempts
    assert (refused.error_type, answered.status) == (LLMModelNotFound.code, "ok")
    assert "Invalid model name" in str(refused.detail)


async def test_a_model_that_is_listed_but_does_not_exist_is_passed_over(ask: AskServer, litellm: str) -> None:
    asked = ask(litellm, "openai:listed-only", key=LITELLM_KEY, fallback="openai:my-model")
    completion = await asked.llm.chat(QUESTION, role=ModelRole.CODE)

    assert [attempt.error_type for attempt in completion.attempts] == [LLMModelNotFound.code, None]


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_wrong_key_is_an_auth_error_with_the_servers_own_code(ask: AskServer, litellm: str, model: str) -> None:
    with pytest.raises(LLMAuthFailed, match="no_db_connection"):
        await ask(litellm, model, key="sk-wrong").llm.chat(QUESTION, role=ModelRole.CODE)


@pytest.mark.parametrize(
    ("model", "variable"), [("openai:my-model", "OPENAI_BASE_URL"), ("anthropic:claude-mine", "ANTHROPIC_BASE_URL")]
)
async def test_a_wrong_base_url_is_named(ask: AskServer, litellm: str, model: str, variable: str) -> None:
    with pytest.raises(LLMBadRequest, match=variable):
        await ask(litellm, model, key=LITELLM_KEY, paths=("/v2", "/v2")).llm.chat(QUESTION, role=ModelRole.CODE)


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_an_answer_that_is_always_cut_off_is_continued_and_marked(
    ask: AskServer, litellm: str, model: str
) -> None:
    completion = await ask(litellm, f"{model}:cut-off", key=LITELLM_KEY).llm.chat(QUESTION, role=ModelRole.CONTENT)

    assert completion.truncated
    assert [attempt.status for attempt in completion.attempts] == ["ok"] * 5
