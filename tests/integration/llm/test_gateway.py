from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from app.errors import LLMRateLimited, LLMUnavailable
from app.llm.interface import ChatMessage, Completion, ModelRole, ToolSpec
from tests.integration.llm.conftest import Ask, Control, tokens_of
from tests.unit.llm.doubles import statuses

MESSAGES = [ChatMessage("system", "You are brief."), ChatMessage("user", "Name the capital of Norway.")]
# Chat completions, responses and messages: the three endpoints that the adapters use.
ENDPOINTS = ["sim-ok", "gpt-6-sim-ok", "claude-sim-ok"]
SEARCH = ToolSpec(
    name="web_search",
    description="Searches the web.",
    parameters={
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
        "additionalProperties": False,
    },
)


class Place(BaseModel):
    city: str = Field(min_length=1)
    confidence: float = Field(ge=0, le=1)
    note: str | None = None


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_plain_answer_is_metered_as_the_provider_counted_it(ask: Ask, control: Control, model: str) -> None:
    asked = ask(model)
    completion: Completion[BaseModel] = await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    counted = await control.calls()
    assert completion.text
    assert tokens_of(completion) == (counted["input_tokens"], counted["output_tokens"])
    assert completion.usage.cost_microusd is not None
    assert completion.usage.cost_microusd > 0
    assert (counted["calls"], counted["entries"][0]["request_id"]) == (1, "request-1")
    assert asked.allowance.settled[0][1] == completion.usage


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_structured_output_is_validated(ask: Ask, model: str) -> None:
    completion = await ask(model).llm.complete(MESSAGES, role=ModelRole.PEER, schema=Place)
    assert isinstance(completion.parsed, Place)


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_streamed_answer_is_the_whole_answer_and_told_on_the_way(
    ask: Ask, control: Control, model: str
) -> None:
    pieces: list[str] = []
    plain: Completion[BaseModel] = await ask(model).llm.complete(MESSAGES, role=ModelRole.CONTENT)
    streamed = await ask(model).llm.chat(MESSAGES, role=ModelRole.CONTENT, on_text=pieces.append)
    assert streamed.text == plain.text == "".join(pieces)
    assert streamed.usage == plain.usage
    assert (await control.calls())["by_outcome"] == {"ok": 2}


@pytest.mark.parametrize("model", ["sim-tool-loop", "gpt-6-sim-tool-loop", "claude-sim-tool-loop"])
async def test_a_tool_loop_goes_there_and_back(ask: Ask, model: str) -> None:
    llm = ask(model).llm
    first = await llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[SEARCH])
    (call,) = first.tool_calls
    assert call.name == "web_search"
    assert isinstance(call.arguments["query"], str)
    history = [
        *MESSAGES,
        ChatMessage("assistant", first.text, tool_calls=first.tool_calls),
        ChatMessage("tool", "Oslo is the capital.", tool_call_id=call.id),
    ]
    assert (await llm.with_tools(history, role=ModelRole.PRIMARY, tools=[SEARCH])).tool_calls


@pytest.mark.parametrize("model", ENDPOINTS)
async def test_a_tool_that_must_be_called_is_called(ask: Ask, control: Control, model: str) -> None:
    book = replace(SEARCH, name="book_flight", description="Books a flight.")
    called = await ask(model).llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[book], must_call=True)
    free = await ask(model).llm.with_tools(MESSAGES, role=ModelRole.PRIMARY, tools=[book])
    assert [call.name for call in called.tool_calls] == ["book_flight"]
    assert (free.tool_calls, bool(free.text)) == ((), True)
    assert (await control.calls())["calls"] == 2


async def test_a_dead_model_is_replaced_by_one_of_another_provider(ask: Ask, control: Control) -> None:
    asked = ask("sim-down", fallback="sim-404,claude-sim-ok")
    completion = await asked.llm.complete(MESSAGES, role=ModelRole.PEER, schema=Place)
    assert completion.parsed is not None
    assert statuses(completion.attempts) == [
        "sim-down error",
        "sim-down error",
        "sim-404 error",
        "claude-sim-ok ok",
    ]
    assert [attempt.error_type for attempt in completion.attempts] == [
        "LLM_UNAVAILABLE",
        "LLM_UNAVAILABLE",
        "LLM_MODEL_NOT_FOUND",
        None,
    ]
    assert list(completion.attempts) == asked.recorded
    assert (await control.calls())["calls"] == 4


async def test_a_fault_that_passes_is_tried_again(ask: Ask) -> None:
    completion = await ask("sim-reset-once").llm.chat(MESSAGES, role=ModelRole.PEER)
    assert [attempt.status for attempt in completion.attempts] == ["error", "ok"]


async def test_a_broken_answer_is_repaired_and_both_are_counted(ask: Ask, control: Control) -> None:
    completion = await ask("sim-broken-json-once").llm.complete(MESSAGES, role=ModelRole.PEER, schema=Place)
    counted = await control.calls()
    assert [attempt.status for attempt in completion.attempts] == ["invalid_output", "ok"]
    assert completion.usage.total_tokens == counted["input_tokens"] + counted["output_tokens"]


async def test_a_chain_that_is_all_rate_limited_names_the_delay(ask: Ask) -> None:
    asked = ask("sim-429-long", fallback="claude-sim-429-long")
    with pytest.raises(LLMRateLimited) as caught:
        await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert caught.value.retry_after_seconds == 60  # the cap; the simulator asks for 120
    assert statuses(caught.value.attempts) == ["sim-429-long rate_limited", "claude-sim-429-long rate_limited"]


async def test_a_server_that_is_not_there_costs_nothing(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask("sim-ok", tries=1)
    connections = vars(asked.gateway.parts.adapters)["_connections"]
    monkeypatch.setitem(connections, "openai", replace(connections["openai"], base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(LLMUnavailable):
        await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert asked.allowance.open == 0


async def test_a_cancelled_call_leaves_the_pool_usable(ask: Ask, control: Control) -> None:
    asked = ask("sim-ok")
    await control.add_fault(fault="hang", times=1)
    task: asyncio.Task[Completion[BaseModel]] = asyncio.create_task(asked.llm.complete(MESSAGES, role=ModelRole.PEER))
    async with asyncio.timeout(5):
        while not (await control.calls())["calls"]:
            continue
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert statuses(asked.recorded) == ["sim-ok cancelled"]
    assert asked.allowance.open == 1
    assert (await asked.llm.complete(MESSAGES, role=ModelRole.PEER)).text


async def test_many_calls_at_once_share_the_connections(ask: Ask, control: Control) -> None:
    llm = ask("sim-ok").llm
    answers: list[Completion[BaseModel]] = await asyncio.gather(
        *(llm.complete(MESSAGES, role=ModelRole.PEER) for _ in range(40))
    )
    assert len({answer.text for answer in answers}) == 1
    assert (await control.calls())["calls"] == 40


async def test_calls_that_a_rate_limit_stops_together_are_all_answered(ask: Ask, control: Control) -> None:
    llm = ask("sim-ok", tries=3).llm
    await control.add_fault(fault="429", times=16)
    answers: list[Completion[BaseModel]] = await asyncio.gather(
        *(llm.complete(MESSAGES, role=ModelRole.PEER) for _ in range(16))
    )
    assert {len(answer.attempts) for answer in answers} == {2}
    assert (await control.calls())["by_outcome"] == {"429": 16, "ok": 16}


async def test_a_refused_key_is_read_again_and_the_call_goes_on(ask: Ask, control: Control, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-old")
    asked = ask("sim-ok", key_file=path)
    await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    await control.add_fault(fault="401", times=1)
    key_file = vars(asked.gateway.parts.adapters)["_connections"]["openai"].key._file
    path.write_text("sk-new")
    key_file._stamp = key_file._read_stamp()  # as if the change had come within the clock tick of the last read
    completion: Completion[BaseModel] = await asked.llm.complete(MESSAGES, role=ModelRole.PEER)
    assert [attempt.status for attempt in completion.attempts] == ["ok"]
    rotations = asked.metrics.registry.get_sample_value("agents_provider_key_rotations_total", {"provider": "openai"})
    assert rotations == 1


async def test_shutdown_dates_of_models_in_use_are_shown(ask: Ask) -> None:
    asked = ask("gpt-4.1-mini", fallback="gpt-4.1,claude-sonnet-5")
    await asked.gateway.observe_models()
    shown = {
        sample.labels["model"]: sample.value
        for metric in asked.metrics.registry.collect()
        if metric.name == "agents_llm_model_shutdown_timestamp_seconds"
        for sample in metric.samples
    }
    assert shown == {"gpt-4.1-mini": 1_799_884_800.0, "gpt-4.1": 1_799_884_800.0}
