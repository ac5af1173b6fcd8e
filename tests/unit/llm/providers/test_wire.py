"""Bodies and streams of the three endpoints, as the providers document them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.llm.faults import FaultKind, InvalidOutput, ProviderFault
from app.llm.interface import ChatMessage, ToolCall, ToolSpec
from app.llm.pricing import TokenCounts
from app.llm.providers.adapter import (
    Finish,
    OutputSchema,
    ProviderAnswer,
    ProviderRequest,
    SchemaMode,
    ask_for_a_call,
    require_usable,
)
from app.llm.providers.anthropic_messages import Messages
from app.llm.providers.openai_chat import ChatCompletions
from app.llm.providers.openai_responses import Responses
from app.llm.providers.text_collector import TextCollector
from app.llm.providers.wire import WireFormat
from app.llm.server_dialect import FULL, Feature
from tests.support.doubles import ManualClock

SCHEMA = OutputSchema(name="City", schema={"type": "object"})
TOOL = ToolSpec(name="search", description="Searches.", parameters={"type": "object"})
CALL = ToolCall(id="c1", name="search", arguments={"query": "snö"})
LOOP = (
    ChatMessage("system", "Be short."),
    ChatMessage("user", "Find it."),
    ChatMessage("assistant", "", tool_calls=(CALL,)),
    ChatMessage("tool", "found", tool_call_id="c1"),
    ChatMessage("user", "Go on."),
)
FORMATS: list[WireFormat] = [ChatCompletions(), Responses(), Messages()]


def request(**fields: Any) -> ProviderRequest:
    return ProviderRequest(**{"model": "m", "messages": LOOP, "max_tokens": 100, **fields})


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("stream", [False, True])
def test_temperature_is_never_set_and_output_always_limited(wire: WireFormat, stream: bool) -> None:
    body = wire.to_body(request(stream=stream, tools=[TOOL]))
    assert "temperature" not in body
    assert 100 in (body.get("max_completion_tokens"), body.get("max_output_tokens"), body.get("max_tokens"))
    assert body.get("stream", False) is stream


def test_chat_bodies() -> None:
    body = ChatCompletions().to_body(request(stream=True, tools=[TOOL]))
    assert body["stream_options"] == {"include_usage": True}
    assert body["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Find it."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"query": "snö"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "user", "content": "Go on."},
    ]
    native = ChatCompletions().to_body(request(output=SCHEMA))["response_format"]
    assert native == {
        "type": "json_schema",
        "json_schema": {"name": "City", "strict": True, "schema": {"type": "object"}},
    }
    forced = ChatCompletions().to_body(request(output=SCHEMA, schema_mode=SchemaMode.FUNCTION))
    assert forced["tool_choice"] == {"type": "function", "function": {"name": "City"}}
    assert "response_format" not in forced


def test_responses_bodies() -> None:
    body = Responses().to_body(request(tools=[TOOL]))
    assert body["store"] is False
    assert body["input"] == [
        {"type": "message", "role": "system", "content": "Be short."},
        {"type": "message", "role": "user", "content": "Find it."},
        {"type": "function_call", "call_id": "c1", "name": "search", "arguments": '{"query": "snö"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
        {"type": "message", "role": "user", "content": "Go on."},
    ]
    native = Responses().to_body(request(output=SCHEMA))["text"]
    assert native == {"format": {"type": "json_schema", "name": "City", "strict": True, "schema": {"type": "object"}}}
    forced = Responses().to_body(request(output=SCHEMA, schema_mode=SchemaMode.FUNCTION))
    assert forced["tool_choice"] == {"type": "function", "name": "City"}


def test_anthropic_bodies() -> None:
    body = Messages().to_body(request(tools=[TOOL]))
    assert body["system"] == "Be short."
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Find it."}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "search", "input": {"query": "snö"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "found"},
                {"type": "text", "text": "Go on."},
            ],
        },
    ]
    assert Messages().to_body(request(output=SCHEMA))["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object"}}
    }
    offered = Messages().to_body(request(output=SCHEMA, schema_mode=SchemaMode.FUNCTION))
    assert "tool_choice" not in offered
    assert "tool City" in str(offered["system"])


def test_the_tenant_is_named_where_each_vendor_looks_for_it() -> None:
    assert ChatCompletions().to_body(request(end_user="e1"))["safety_identifier"] == "e1"
    assert Responses().to_body(request(end_user="e1"))["safety_identifier"] == "e1"
    assert Messages().to_body(request(end_user="e1"))["metadata"] == {"user_id": "e1"}


@pytest.mark.parametrize("wire", FORMATS)
def test_a_tenant_that_shall_not_be_named_is_not(wire: WireFormat) -> None:
    assert not {"safety_identifier", "metadata", "user"} & wire.to_body(request()).keys()


EVERYTHING = {"thinks": True, "effort": "low", "end_user": "e1", "output": SCHEMA, "stream": True}


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("mode", [SchemaMode.NATIVE, SchemaMode.FUNCTION])
def test_a_feature_changes_the_body_exactly_where_the_protocol_has_it(wire: WireFormat, mode: SchemaMode) -> None:
    """`HopRequests` leaves out those that are not in the table: it changes the request itself."""
    whole = request(**EVERYTHING, schema_mode=mode)
    for feature in (Feature.SUMMARY, Feature.STREAM_OPTIONS, Feature.TOKEN_LIMIT_NAME, Feature.STORE):
        without = replace(whole, dialect=FULL.without(feature))
        assert (wire.to_body(whole) != wire.to_body(without)) is (feature in wire.features), feature


@pytest.mark.parametrize("wire", FORMATS)
def test_only_features_of_some_protocol_are_missing_in_another(wire: WireFormat) -> None:
    sometimes = {
        Feature.SUMMARY,
        Feature.STREAM_OPTIONS,
        Feature.TOKEN_LIMIT_NAME,
        Feature.TOOL_CHOICE,
        Feature.STORE,
    }
    assert frozenset(Feature) - wire.features <= sometimes


@pytest.mark.parametrize("wire", FORMATS)
def test_a_tool_may_be_called_or_must_be(wire: WireFormat) -> None:
    free, forced = wire.to_body(request(tools=[TOOL])), wire.to_body(request(tools=[TOOL], must_call_tool=True))
    assert free["tools"] == forced["tools"]
    assert "tool_choice" not in free
    if isinstance(wire, Messages):
        assert "tool_choice" not in forced
        assert forced["system"] == f"Be short.\n\n{ask_for_a_call([TOOL])}"
    else:
        assert forced["tool_choice"] == "required"


def chat_answer(finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "model": "m-1",
        "choices": [{"message": {"content": "Hi", **message}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }


def responses_answer(*output: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "model": "m-1",
        "output": [{"type": "reasoning"}, *output],
        "incomplete_details": {"reason": reason} if reason else None,
        "usage": {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}},
    }


def text_item(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}]}


def anthropic_answer(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    return {
        "model": "m-1",
        "content": [{"type": "thinking", "thinking": "…"}, *content],
        "stop_reason": stop,
        "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5},
    }


TEXT: dict[str, Any] = {"type": "text", "text": "Hi"}


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (FORMATS[0], chat_answer()),
        (FORMATS[1], responses_answer(text_item("Hi"))),
        (FORMATS[2], anthropic_answer(TEXT)),
    ],
)
def test_an_answer_has_its_text_tokens_and_model(wire: WireFormat, body: dict[str, Any]) -> None:
    tokens = TokenCounts(input=10, output=5, cache_read=4)
    assert wire.to_answer(body, request()) == ProviderAnswer(text="Hi", tokens=tokens, served_model="m-1")


@pytest.mark.parametrize(
    ("wire", "body", "finish"),
    [
        (FORMATS[0], chat_answer("length"), Finish.LENGTH),
        (FORMATS[0], chat_answer("content_filter"), Finish.REFUSED),
        (FORMATS[0], chat_answer(refusal="No."), Finish.REFUSED),
        (FORMATS[1], responses_answer(reason="max_output_tokens"), Finish.LENGTH),
        (FORMATS[1], responses_answer(reason="content_filter"), Finish.REFUSED),
        (
            FORMATS[1],
            responses_answer({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}),
            Finish.REFUSED,
        ),
        (FORMATS[2], anthropic_answer(stop="max_tokens"), Finish.LENGTH),
        (FORMATS[2], anthropic_answer(stop="refusal"), Finish.REFUSED),
        (FORMATS[2], anthropic_answer(stop="model_context_window_exceeded"), Finish.CONTEXT_OVERFLOW),
    ],
)
def test_the_reason_to_stop_is_read(wire: WireFormat, body: dict[str, Any], finish: Finish) -> None:
    assert wire.to_answer(body, request()).finish is finish


def test_a_response_that_is_completed_exactly_at_its_limit_was_cut_off() -> None:
    body = responses_answer(text_item("Hi")) | {"status": "completed"}
    assert Responses().to_answer(body, request(max_tokens=5)).finish is Finish.LENGTH
    assert Responses().to_answer(body, request(max_tokens=6)).finish is Finish.DONE


def called(wire: WireFormat, arguments: str) -> dict[str, Any]:
    if isinstance(wire, ChatCompletions):
        function = {"name": "search", "arguments": arguments}
        return chat_answer("tool_calls", content=None, tool_calls=[{"id": "c1", "function": function}])
    return responses_answer({"type": "function_call", "call_id": "c1", "name": "search", "arguments": arguments})


@pytest.mark.parametrize("wire", FORMATS[:2])
def test_tool_calls_are_read(wire: WireFormat) -> None:
    answer = wire.to_answer(called(wire, '{"query": "snö"}'), request(tools=[TOOL]))
    assert answer.tool_calls == (CALL,)


def test_anthropic_tool_calls_are_read() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "search", "input": {"query": "snö"}}
    assert Messages().to_answer(anthropic_answer(block), request(tools=[TOOL])).tool_calls == (CALL,)


@pytest.mark.parametrize("wire", FORMATS[:2])
@pytest.mark.parametrize("arguments", ["{", "[]", "3"])
def test_arguments_that_are_no_object_are_invalid_output(wire: WireFormat, arguments: str) -> None:
    with pytest.raises(InvalidOutput) as caught:
        wire.to_answer(called(wire, arguments), request(tools=[TOOL]))
    assert caught.value.tokens == TokenCounts(input=10, output=5, cache_read=4)


@pytest.mark.parametrize("wire", FORMATS[:2])
def test_a_functions_arguments_are_the_raw_text_of_structured_output(wire: WireFormat) -> None:
    wanted = request(output=SCHEMA, schema_mode=SchemaMode.FUNCTION)
    answer = wire.to_answer(called(wire, '{"na'), wanted)
    assert (answer.text, answer.tool_calls) == ('{"na', ())


CHAT_STREAM: list[dict[str, Any]] = [
    {"model": "m-1", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"model": "m-1", "choices": [{"delta": {"content": "H"}}]},
    {"model": "m-1", "choices": [{"delta": {"content": "i"}}]},
    {"model": "m-1", "choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"model": "m-1", "choices": [], "usage": chat_answer()["usage"]},
]
RESPONSES_STREAM: list[dict[str, Any]] = [
    {"type": "response.created", "response": {}},
    {"type": "response.output_text.delta", "delta": "H"},
    {"type": "response.output_text.delta", "delta": "i"},
    {"type": "response.completed", "response": responses_answer(text_item("Hi"))},
]
ANTHROPIC_STREAM: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {"model": "m-1", "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 1}},
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "H"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "i"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
STREAMS = [(FORMATS[0], CHAT_STREAM), (FORMATS[1], RESPONSES_STREAM), (FORMATS[2], ANTHROPIC_STREAM)]


def play(wire: WireFormat, events: list[dict[str, Any]], pieces: list[str], **fields: Any) -> ProviderAnswer:
    stream = wire.open_stream(request(stream=True, **fields), TextCollector(pieces.append, ManualClock().monotonic))
    for event in events:
        stream.on_event(event)
    return stream.finish(ended=False)


@pytest.mark.parametrize(("wire", "events"), STREAMS)
def test_a_stream_adds_up_to_the_same_answer(wire: WireFormat, events: list[dict[str, Any]]) -> None:
    pieces: list[str] = []
    tokens = TokenCounts(input=10, output=5, cache_read=4)
    assert play(wire, events, pieces) == ProviderAnswer(text="Hi", tokens=tokens, served_model="m-1")
    assert "".join(pieces) == "Hi"


ODD_USAGE: list[Any] = [None, [], "many", 7, {}, {"prompt_tokens": "ten", "input_tokens": -1, "output_tokens": 1e30}]


@pytest.mark.parametrize("usage", ODD_USAGE, ids=str)
@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (FORMATS[0], chat_answer()),
        (FORMATS[1], responses_answer(text_item("Hi"))),
        (FORMATS[2], anthropic_answer(TEXT)),
    ],
)
def test_an_answer_without_a_usable_count_is_an_answer(wire: WireFormat, body: dict[str, Any], usage: Any) -> None:
    answer = wire.to_answer({**body, "usage": usage}, request())
    assert answer == ProviderAnswer(text="Hi", tokens=None, served_model="m-1")


@pytest.mark.parametrize("usage", ODD_USAGE, ids=str)
@pytest.mark.parametrize(("wire", "events"), STREAMS)
def test_a_stream_without_a_usable_count_is_an_answer(
    wire: WireFormat, events: list[dict[str, Any]], usage: Any
) -> None:
    assert play(wire, [with_usage(event, usage) for event in events], []).tokens is None


def with_usage(event: dict[str, Any], usage: Any) -> dict[str, Any]:
    """Replaces every usage in the event."""
    inner = {name: with_usage(part, usage) for name, part in event.items() if isinstance(part, dict)}
    return {**event, **inner, **({"usage": usage} if "usage" in event else {})}


def test_anthropics_count_at_the_start_is_no_count_of_the_output() -> None:
    events = [event for event in ANTHROPIC_STREAM if event["type"] != "message_delta"]
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    assert play(FORMATS[2], [*events, end], []).tokens is None


@pytest.mark.parametrize(("wire", "events"), STREAMS)
def test_a_stream_that_ends_early_is_no_answer(wire: WireFormat, events: list[dict[str, Any]]) -> None:
    with pytest.raises(ProviderFault) as caught:
        play(wire, events[:3], [])
    assert (caught.value.kind, caught.value.maybe_billed) == (FaultKind.UNREACHABLE, True)


@pytest.mark.parametrize(
    ("wire", "event"),
    [
        (FORMATS[0], {"error": {"code": "server_error", "message": "failed at: Find it."}}),
        (FORMATS[1], {"type": "error", "code": "server_error", "message": "failed at: Find it."}),
        (FORMATS[1], {"type": "response.failed", "response": {"error": {"code": "server_error"}}}),
        (FORMATS[2], {"type": "error", "error": {"type": "overloaded_error", "message": "failed at: Find it."}}),
    ],
)
def test_an_error_inside_a_stream_is_a_fault_of_the_server(wire: WireFormat, event: dict[str, Any]) -> None:
    with pytest.raises(ProviderFault) as caught:
        play(wire, [event], [])
    assert (caught.value.kind, caught.value.maybe_billed) == (FaultKind.SERVER, True)
    assert "Find it" not in str(caught.value)


def test_streamed_tool_calls_are_put_together() -> None:
    pieces: list[dict[str, Any]] = [
        {"index": 0, "id": "c1", "function": {"name": "search", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"query"'}},
        {"index": 0, "function": {"arguments": ': "snö"}'}},
    ]
    chat = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
    end = {"model": "m-1", "choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    assert play(ChatCompletions(), [*chat, end], [], tools=[TOOL]).tool_calls == (CALL,)
    block = {"type": "tool_use", "id": "c1", "name": "search", "input": {}}
    deltas = [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": part}}
        for part in ('{"query"', ': "snö"}')
    ]
    start = {"type": "content_block_start", "index": 1, "content_block": block}
    events = [ANTHROPIC_STREAM[0], start, *deltas, *ANTHROPIC_STREAM[-2:]]
    assert play(Messages(), events, [], tools=[TOOL]).tool_calls == (CALL,)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_no_text_is_no_answer(text: str) -> None:
    with pytest.raises(ProviderFault) as caught:
        require_usable(ProviderAnswer(text=text, tokens=TokenCounts(10, 0), served_model="m"))
    assert (caught.value.kind, caught.value.tokens) == (FaultKind.EMPTY, TokenCounts(10, 0))


def test_text_that_no_database_takes_is_made_storable() -> None:
    body = {
        "model": "m",
        "choices": [{"message": {"content": "half \ud800 pair\0 and snö"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }

    assert ChatCompletions().to_answer(body, request()).text == "half ? pair and snö"


NO_IDS = [("", "a", '{"n": 1}'), ("", "a", '{"n": 2}')]
IN_PIECES = [("c1", "a", '{"n":'), ("", "", " 1}"), ("c2", "a", ""), ("", "", '{"n": 2}')]
AN_ID_IN_EACH = [("c1", "a", '{"n":'), ("x", "a", " 1}"), ("c2", "a", '{"n": 2}')]


@pytest.mark.parametrize(
    ("pieces", "place"),
    [(NO_IDS, {}), (NO_IDS, {"index": 0}), (IN_PIECES, {}), (IN_PIECES, {"index": 0}), (AN_ID_IN_EACH, {"index": 0})],
)
def test_calls_that_share_an_index_stay_apart(pieces: list[tuple[str, str, str]], place: dict[str, int]) -> None:
    calls = [{**place, "id": call, "function": {"name": name, "arguments": part}} for call, name, part in pieces]
    events = [{"choices": [{"delta": {"tool_calls": [call]}}]} for call in calls]
    answer = play(FORMATS[0], [*events, {"choices": [{"finish_reason": "tool_calls"}]}], [], tools=[TOOL])
    assert [call.arguments for call in answer.tool_calls] == [{"n": 1}, {"n": 2}]


def test_calls_without_arguments_that_share_an_index_stay_apart() -> None:
    pieces = [{"index": 0, "id": name, "function": {"name": name, "arguments": ""}} for name in ("a", "b")]
    events = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
    answer = play(FORMATS[0], [*events, {"choices": [{"finish_reason": "tool_calls"}]}], [], tools=[TOOL])
    assert [call.name for call in answer.tool_calls] == ["a", "b"]


@pytest.mark.parametrize(
    "event", [{"object": "error", "code": 500}, {"message": "died", "code": 500}, {"detail": "died"}], ids=str
)
def test_an_error_without_an_envelope_ends_the_stream(event: dict[str, Any]) -> None:
    with pytest.raises(ProviderFault) as caught:
        play(FORMATS[0], [*CHAT_STREAM[:2], event], [])
    assert caught.value.kind is FaultKind.SERVER


def test_a_tool_that_runs_at_the_server_is_no_call() -> None:
    start = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    events = [
        ANTHROPIC_STREAM[0],
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi"}},
        *ANTHROPIC_STREAM[-2:],
    ]
    answer = play(FORMATS[2], events, [], tools=[TOOL])
    assert (answer.text, answer.tool_calls) == ("Hi", ())


def test_a_remark_is_no_part_of_an_answer() -> None:
    remark = {**text_item("I look."), "phase": "commentary"}
    body = responses_answer(remark, {**text_item("Hi"), "phase": "final_answer"})
    assert FORMATS[1].to_answer(body, request()).text == "Hi"
    assert FORMATS[1].to_answer(responses_answer(remark), request()).text == "I look."
    pieces: list[str] = []
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "item": {**remark, "content": []}},
        {"type": "response.output_text.delta", "delta": "I look."},
        {"type": "response.output_item.added", "item": {"type": "message", "phase": "final_answer"}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.completed", "response": body},
    ]
    assert play(FORMATS[1], events, pieces).text == "".join(pieces) == "Hi"
