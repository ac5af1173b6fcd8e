"""Anthropic's messages endpoint.

System texts go into their own field, tool results into user turns, and turns of the same role are joined, as the API
requires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.llm.interface import ChatMessage
from app.llm.pricing import CountNames, read_counts
from app.llm.providers.adapter import (
    Finish,
    JsonObject,
    ProviderAnswer,
    ProviderRequest,
    SchemaMode,
    ask_for_a_call,
)
from app.llm.providers.lenient import each_mapping, to_arguments, to_mapping, to_text
from app.llm.providers.text_collector import TextCollector
from app.llm.providers.thoughts import without_thoughts
from app.llm.providers.wire import RawCall, answered_fault, assemble, cut_off
from app.llm.server_dialect import Feature

_FINISH = {
    "max_tokens": Finish.LENGTH,
    "refusal": Finish.REFUSED,
    "content_filter": Finish.REFUSED,
    "model_context_window_exceeded": Finish.CONTEXT_OVERFLOW,
}
# In words, as `ask_for_a_call` is, because the newest models refuse a request that forces a tool.
_CALL_THE_TOOL = "Give your whole answer by calling the tool {name}; write nothing else."
COUNTS = CountNames(
    input="input_tokens",
    output="output_tokens",
    cache_read="cache_read_input_tokens",
    cache_write="cache_creation_input_tokens",
    cached_beside=True,
)


class Messages:
    """The messages endpoint. Implements `WireFormat`."""

    path = "/v1/messages"
    features = frozenset(Feature) - {
        Feature.STREAM_OPTIONS,
        Feature.TOKEN_LIMIT_NAME,
        Feature.TOOL_CHOICE,
        Feature.STORE,
    }

    def to_body(self, request: ProviderRequest) -> JsonObject:
        system = [message.content for message in request.messages if message.role == "system"]
        output = request.output
        body: JsonObject = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": [*_to_turns(request.messages)],
        }
        if request.stream:
            body["stream"] = True
        config = _output_config(request)
        if config:
            body["output_config"] = config
        if request.thinks and request.dialect.has(Feature.SUMMARY):
            # Without a summary the model thinks in silence.
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        if request.end_user:
            body["metadata"] = {"user_id": request.end_user}
        if output is not None and request.schema_mode is SchemaMode.FUNCTION:
            system.append(_CALL_THE_TOOL.format(name=output.name))
            body["tools"] = [_to_tool(output.name, "Gives the answer.", output.schema)]
        elif request.tools:
            body["tools"] = [_to_tool(tool.name, tool.description, tool.parameters) for tool in request.tools]
            if request.must_call_tool:
                system.append(ask_for_a_call(request.tools))
        if system:
            body["system"] = "\n\n".join(system)
        return body

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        if body.get("error") or not isinstance(body.get("content"), list | str):
            raise answered_fault(body, request)
        calls = [
            RawCall(to_text(block.get("id")), to_text(block.get("name")), to_arguments(block.get("input")))
            for block in each_mapping(body["content"])
            if block.get("type") == "tool_use"
        ]
        return assemble(
            text=without_thoughts(_text_of(body["content"])),
            calls=calls,
            finish=_to_finish(body.get("stop_reason")),
            tokens=read_counts(body.get("usage"), COUNTS),
            served_model=to_text(body.get("model")) or request.model,
            request=request,
        )

    def open_stream(self, request: ProviderRequest, collector: TextCollector) -> MessageStream:
        return MessageStream(request, collector)


class MessageStream:
    """A streamed message. Implements `AnswerStream`."""

    def __init__(self, request: ProviderRequest, collector: TextCollector) -> None:
        self._request = request
        self._collector = collector
        self._served_model = request.model
        self._usage: dict[str, Any] = {}
        self._stop_reason: object = None
        self._stopped = False
        self._calls: dict[object, RawCall] = {}

    @property
    def complete(self) -> bool:
        return self._stop_reason is not None or self._stopped

    def on_event(self, event: Mapping[str, Any]) -> None:
        match event.get("type"):
            case "content_block_delta":
                delta = to_mapping(event.get("delta"))
                if text := delta.get("text"):
                    self._collector.add(to_text(text))
                elif (part := delta.get("partial_json")) and (call := self._calls.get(event.get("index"))):
                    # Without a call it is the input of a tool that runs at the server.
                    call.arguments += to_text(part)
            case "content_block_start":
                self._start_block(event.get("index"), to_mapping(event.get("content_block")))
            case "message_start":
                message = to_mapping(event.get("message"))
                self._served_model = to_text(message.get("model")) or self._served_model
                self._count(message.get("usage"))
                self._usage.pop("output_tokens", None)  # so far the count of the first tokens only
            case "message_delta":
                self._stop_reason = to_mapping(event.get("delta")).get("stop_reason") or self._stop_reason
                self._count(event.get("usage"))
            case "message_stop":
                self._stopped = True
            case "error":
                raise answered_fault(event, self._request)
            case None if event.get("error"):
                raise answered_fault(event, self._request)

    def _start_block(self, index: object, block: Mapping[str, Any]) -> None:
        if block.get("type") == "tool_use":
            # Some servers send the whole input here, and no deltas.
            whole = block.get("input")
            arguments = to_arguments(whole) if whole else ""
            self._calls[index] = RawCall(to_text(block.get("id")), to_text(block.get("name")), arguments)
        elif text := to_text(block.get("text")):
            self._collector.add(text)

    def _count(self, usage: object) -> None:
        # The last counts are the valid ones; a count that has not changed may be null.
        self._usage.update({name: value for name, value in to_mapping(usage).items() if value is not None})

    def finish(self, *, ended: bool) -> ProviderAnswer:
        text = self._collector.finish()
        if self._stop_reason is None and not (ended or self._stopped):
            raise cut_off()  # the count of output tokens comes with the reason to stop, so it is unknown
        return assemble(
            text=text,
            calls=list(self._calls.values()),
            finish=_to_finish(self._stop_reason),
            tokens=read_counts(self._usage, COUNTS),
            served_model=self._served_model,
            request=self._request,
        )


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(to_text(block.get("text")) for block in each_mapping(content) if block.get("type") == "text")


def _to_finish(reason: object) -> Finish:
    return _FINISH.get(reason, Finish.DONE) if isinstance(reason, str) else Finish.DONE


def _output_config(request: ProviderRequest) -> JsonObject:
    config: JsonObject = {}
    if request.output is not None and request.schema_mode is SchemaMode.NATIVE:
        config["format"] = {"type": "json_schema", "schema": request.output.schema}
    if request.effort:
        config["effort"] = request.effort
    return config


def _to_turns(messages: Sequence[ChatMessage]) -> list[JsonObject]:
    turns: list[tuple[str, list[JsonObject]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if not turns or turns[-1][0] != role:
            turns.append((role, []))
        turns[-1][1].extend(_to_blocks(message))
    return [{"role": role, "content": [*blocks]} for role, blocks in turns]


def _to_blocks(message: ChatMessage) -> list[JsonObject]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": message.content}]
    blocks: list[JsonObject] = [{"type": "text", "text": message.content}] if message.content else []
    return blocks + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]


def _to_tool(name: str, description: str, parameters: Mapping[str, Any]) -> JsonObject:
    return {"name": name, "description": description, "input_schema": dict(parameters)}
