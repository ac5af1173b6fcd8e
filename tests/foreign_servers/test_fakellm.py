"""fakellm: a small server that streams without counts, checks no key and no model, and has no list of models."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from app.errors import LLMBadRequest
from app.llm.interface import Completion, ModelRole
from tests.foreign_servers.conftest import AskServer
from tests.foreign_servers.conversation import DECISION, QUESTION, SECOND_TURN, Decision

KEY = "sk-fake"
ENDPOINTS = ["openai:fake", "anthropic:fake"]


async def test_a_streamed_answer_without_a_count_is_estimated(ask: AskServer, fakellm: str) -> None:
    pieces: list[str] = []

    completion = await ask(fakellm, "openai:fake", key=KEY).llm.chat(
        QUESTION, role=ModelRole.CONTENT, on_text=pieces.append
    )

    assert completion.text == "".join(pieces)
    assert completion.usage.input_tokens > 0
    assert completion.usage.output_tokens > 0
    assert completion.usage.estimated
    assert completion.usage.cost_microusd is None


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_json_between_prose_is_read_at_once(ask: AskServer, fakellm: str, model: str) -> None:
    completion = await ask(fakellm, model, key=KEY).llm.complete(DECISION, role=ModelRole.PEER, schema=Decision)

    assert completion.parsed == Decision(city="Oslo", capital=True)
    assert [attempt.status for attempt in completion.attempts] == ["ok"]


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_second_turn_is_answered(ask: AskServer, fakellm: str, model: str) -> None:
    llm = ask(fakellm, model, key=KEY).llm
    first: Completion[BaseModel] = await llm.complete(QUESTION, role=ModelRole.CONTENT)
    second: Completion[BaseModel] = await llm.complete(SECOND_TURN, role=ModelRole.CONTENT)

    assert first.text.startswith("[mock response")
    assert second.text.startswith("[mock response")
    assert first.text != second.text  # it holds a checksum of the conversation


@pytest.mark.parametrize(
    ("model", "variable"), [("openai:fake", "OPENAI_BASE_URL"), ("anthropic:fake", "ANTHROPIC_BASE_URL")]
)
async def test_a_base_url_with_the_wrong_path_is_named(ask: AskServer, fakellm: str, model: str, variable: str) -> None:
    without_v1_and_with_it = ("", "/v1")
    with pytest.raises(LLMBadRequest, match=variable):
        await ask(fakellm, model, key=KEY, paths=without_v1_and_with_it).llm.chat(QUESTION, role=ModelRole.CODE)
