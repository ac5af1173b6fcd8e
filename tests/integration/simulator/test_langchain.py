"""LangChain's models, for agents from elsewhere that bring their own.

Without asyncio: LangChain keeps its asynchronous clients for the whole process, and every test has a loop of its own.
"""

from __future__ import annotations

from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

TASK = "Write an article about green tea"
KEY = SecretStr("k")
SCHEMA: dict[str, Any] = {
    "title": "Choice",
    "description": "Which agent.",
    "type": "object",
    "properties": {
        "agent_name": {"type": "string", "enum": ["CodeAgent", "ContentAgent", "Unknown"]},
        "confidence": {"type": "number"},
    },
    "required": ["agent_name", "confidence"],
    "additionalProperties": False,
}


@pytest.fixture(params=["chat", "responses", "anthropic"])
def model(request: pytest.FixtureRequest, simulator: str) -> BaseChatModel:
    if request.param == "anthropic":
        return ChatAnthropic(model="claude-sonnet-5", base_url=simulator, api_key=KEY, max_retries=0, timeout=5)
    return ChatOpenAI(
        model="gpt-4.1" if request.param == "chat" else "gpt-5.1-codex",
        base_url=f"{simulator}/v1",
        api_key=KEY,
        max_retries=0,
        timeout=5,
        stream_usage=True,
        use_responses_api=request.param == "responses",
    )


def test_answers_are_streamed_with_usage(model: BaseChatModel) -> None:
    plain = model.invoke([HumanMessage(TASK)])
    text, tokens = "", 0
    for chunk in model.stream([HumanMessage(TASK)]):
        assert isinstance(chunk, AIMessage)
        text += str(chunk.text)
        tokens += chunk.usage_metadata["output_tokens"] if chunk.usage_metadata else 0
    assert isinstance(plain, AIMessage)
    assert text == str(plain.text)
    assert text.startswith("# Green tea")
    assert plain.usage_metadata is not None
    assert tokens == plain.usage_metadata["output_tokens"] == (len(text) + 3) // 4


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(model: BaseChatModel, method: str) -> None:
    arguments: dict[str, Any] = {"method": method, "include_raw": True}
    if isinstance(model, ChatOpenAI):
        arguments["strict"] = True
    answer = model.with_structured_output(SCHEMA, **arguments).invoke([HumanMessage(TASK)])
    assert isinstance(answer, dict)
    assert answer["parsed"]["agent_name"] == "ContentAgent"
    assert answer["raw"].usage_metadata["total_tokens"] > 0


def test_tools_are_called(model: BaseChatModel) -> None:
    tool = {
        "name": "web_search",
        "description": "Searches the web.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    }
    answer = model.bind_tools([{"type": "function", "function": tool}]).invoke([HumanMessage(TASK)])
    assert isinstance(answer, AIMessage)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("web_search", {"query": "green tea"})


def test_embeddings(simulator: str) -> None:
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small",
        openai_api_base=f"{simulator}/v1",
        openai_api_key=KEY,
        check_embedding_ctx_length=False,
    )
    assert [len(vector) for vector in embeddings.embed_documents(["a", "b"])] == [1536, 1536]
