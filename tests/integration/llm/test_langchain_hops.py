"""Hops of LangChain on real HTTP: `AzureChatOpenAI` against the simulator, under the gateway's own rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel

from app.errors import LLMAuthFailed, LLMUnavailable
from app.llm.interface import ChatMessage, Completion, ModelRole
from app.llm.langchain_vendors import VENDORS
from app.llm.providers.langchain_adapter import LangChainAdapter
from app.settings import LLMSettings
from tests.integration.llm.conftest import Ask, Control, build_asked, tokens_of
from tests.integration.llm.test_gateway import MESSAGES, SEARCH, Place
from tests.unit.llm.doubles import statuses

KEY = "azure-test-key"


@pytest.fixture(autouse=True)
def azure(simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", simulator)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_VERSION", "2026-01-01")


async def test_an_answer_of_azure_is_counted_as_azure_counted_it(ask: Ask, control: Control) -> None:
    asked = ask("azure:sim-ok")
    completion: Completion[BaseModel] = await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    counted = await control.calls()
    assert completion.text
    assert tokens_of(completion) == (counted["input_tokens"], counted["output_tokens"])
    assert not completion.usage.estimated
    assert [(attempt.provider, attempt.model) for attempt in completion.attempts] == [("azure", "sim-ok")]


async def test_the_headers_of_correlation_arrive(ask: Ask, control: Control) -> None:
    await ask("azure:sim-ok").llm.complete(MESSAGES, role=ModelRole.PEER)
    assert (await control.calls())["entries"][0]["request_id"] == "request-1"


async def test_a_streamed_answer_is_told_on_the_way(ask: Ask) -> None:
    pieces: list[str] = []
    completion = await ask("azure:sim-ok").llm.chat(MESSAGES, role=ModelRole.CONTENT, on_text=pieces.append)
    assert completion.text == "".join(pieces) != ""


async def test_structured_output_is_validated(ask: Ask, control: Control) -> None:
    completion = await ask("azure:sim-ok").llm.complete(MESSAGES, role=ModelRole.PEER, schema=Place)
    assert isinstance(completion.parsed, Place)
    assert (await control.calls())["calls"] == 1


async def test_an_answer_that_does_not_fit_is_repaired_once(ask: Ask, control: Control) -> None:
    completion = await ask("azure:sim-broken-json-once").llm.complete(MESSAGES, role=ModelRole.PEER, schema=Place)
    assert isinstance(completion.parsed, Place)
    assert (await control.calls())["calls"] == 2


async def test_a_tool_loop_goes_there_and_back(ask: Ask) -> None:
    llm = ask("azure:sim-tool-loop").llm
    first = await llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[SEARCH])
    (call,) = first.tool_calls
    assert isinstance(call.arguments["query"], str)
    history = [
        *MESSAGES,
        ChatMessage("assistant", first.text, tool_calls=first.tool_calls),
        ChatMessage("tool", "Oslo is the capital.", tool_call_id=call.id),
    ]
    assert (await llm.with_tools(history, role=ModelRole.PRIMARY, tools=[SEARCH])).tool_calls


async def test_the_retries_are_ours_alone(ask: Ask, control: Control) -> None:
    with pytest.raises(LLMUnavailable):
        await ask("azure:sim-down", tries=2).llm.complete(MESSAGES, role=ModelRole.PEER)
    assert (await control.calls())["calls"] == 2


@pytest.mark.parametrize("fault", ["down", "404", "bad-request", "quota", "429-long", "reset"])
async def test_what_azure_refuses_goes_to_the_next_hop(ask: Ask, fault: str) -> None:
    asked = ask(f"azure:sim-{fault}", fallback="sim-ok", tries=1)
    completion: Completion[BaseModel] = await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert completion.attempts[-1].model == "sim-ok"
    assert statuses(completion.attempts)[0] != f"sim-{fault} ok"


async def test_a_model_that_falls_silent_is_left_in_time(ask: Ask) -> None:
    asked = ask("azure:sim-hang", fallback="sim-ok", timeout=0.5)
    completion: Completion[BaseModel] = await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert statuses(completion.attempts) == ["sim-hang timeout", "sim-ok ok"]
    assert completion.attempts[0].usage.cost_microusd is None


async def test_five_tasks_that_fail_open_its_breaker(ask: Ask) -> None:
    asked = ask("azure:sim-down", tries=1)
    for at in range(5):
        with pytest.raises(LLMUnavailable, match="server 503"):
            await asked.bound_to(f"task-{at}").complete(MESSAGES, role=ModelRole.PEER)
    with pytest.raises(LLMUnavailable, match="breaker_open"):
        await asked.llm.complete(MESSAGES, role=ModelRole.PEER)


async def test_a_cut_off_answer_is_continued(ask: Ask, control: Control) -> None:
    completion: Completion[BaseModel] = await ask("azure:sim-length").llm.complete(MESSAGES, role=ModelRole.CONTENT)
    assert completion.truncated
    assert (await control.calls())["calls"] > 1


async def test_a_wrong_key_is_named_and_never_shown(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "revoked-azure-secret")
    with pytest.raises(LLMAuthFailed, match="401") as refused:
        await ask("azure:sim-ok").llm.complete(MESSAGES, role=ModelRole.PEER)
    assert "revoked-azure-secret" not in str(refused.value)


async def test_without_a_key_the_error_says_which_variables_to_set(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    with pytest.raises(LLMAuthFailed, match="AZURE_OPENAI_API_KEY"):
        await ask("azure:sim-ok").llm.complete(MESSAGES, role=ModelRole.PEER)


async def test_a_deployment_has_a_price_only_from_the_file(simulator: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"azure:gpt-4.1": {"input_usd_per_million": 1, "output_usd_per_million": 2}}))
    costs = []
    for path in (None, prices):
        settings = LLMSettings(peer_model="azure:gpt-4.1", fallback_model="", price_overrides=path)
        asked = build_asked(settings)
        completion: Completion[BaseModel] = await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
        costs.append(completion.usage.cost_microusd)
        await asked.gateway.aclose()
    assert costs[0] is None
    assert costs[1] == completion.usage.input_tokens + 2 * completion.usage.output_tokens


async def test_any_provider_of_langchain_is_a_hop(ask: Ask, monkeypatch: pytest.MonkeyPatch, simulator: str) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator)
    asked = ask("langchain:anthropic/claude-sim-ok")
    completion = await asked.llm.complete(MESSAGES, role=ModelRole.PEER, schema=Place)
    assert isinstance(completion.parsed, Place)
    assert [f"{attempt.provider}:{attempt.model}" for attempt in completion.attempts] == [
        "langchain:anthropic/claude-sim-ok"
    ]


async def test_a_provider_that_langchain_does_not_know_is_named_and_passed_over(ask: Ask) -> None:
    asked = ask("langchain:nobody/large", fallback="sim-ok")
    completion: Completion[BaseModel] = await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert statuses(completion.attempts) == ["nobody/large error", "sim-ok ok"]
    assert "LangChain cannot build" in (completion.attempts[0].detail or "")


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendor_of_the_table_is_one_of_langchain(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "k",
        "AWS_REGION": "eu-central-1",
        "GOOGLE_API_KEY": "k",
        "OLLAMA_HOST": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    adapter = LangChainAdapter(vendor)
    built = adapter._build_model("anthropic.claude-x" if vendor == "bedrock" else "m")
    assert isinstance(built, BaseChatModel)
    assert {"max_tokens", "max_output_tokens", "num_predict"} & set(type(built).model_fields)
    if vendor == "bedrock":
        client: Any = getattr(built, "client", None)
        assert client.meta.config.read_timeout is not None
        assert built.disable_streaming is False
