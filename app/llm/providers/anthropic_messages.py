"""Anthropic's messages endpoint.

System texts go into their own field, tool results into user turns, and turns of the same role are joined, as the API
requires.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.llm.interface import ChatMessage
from app.llm.pricing import CountNames, read_counts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest, SchemaMode
from app.llm.providers.sse import TextCollector
from app.llm.providers.wire import RawCall, assemble, cut_off, stream_fault

# Cached tokens are counted beside `input_tokens`.
_COUNTS = CountNames(
    input="input_tokens",
    output="output_tokens",
    cache_read="cache_read_input_tokens",
    cache_write="cache_creation_input_tokens",
    cached_beside=True,
)
_FINISH = {
    "max_tokens": Finish.LENGTH,
    "refusal": Finish.REFUSED,
    "model_context_window_exceeded": Finish.CONTEXT_OVERFLOW,
}
# In words, because the newest models refuse a request that forces a tool.
_CALL_THE_TOOL = "Give your whole answer by calling the tool {name}; write nothing else."


class Messages:
    """The messages endpoint. Implements `WireFormat`."""

    path = "/v1/messages"

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
        if output is not None and request.schema_mode is SchemaMode.NATIVE:
            body["output_config"] = {"format": {"type": "json_schema", "schema": output.schema}}
        elif output is not None:
            system.append(_CALL_THE_TOOL.format(name=output.name))
            body["tools"] = [_to_tool(output.name, "Gives the answer.", output.schema)]
        elif request.tools:
            body["tools"] = [_to_tool(tool.name, tool.description, tool.parameters) for tool in request.tools]
        if system:
            body["system"] = "\n\n".join(system)
        return body

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        blocks = body["content"]
        calls = [
            RawCall(call_id=block["id"], name=block["name"], arguments=json.dumps(block["input"], ensure_ascii=False))
            for block in blocks
            if block["type"] == "tool_use"
        ]
        return assemble(
            text="".join(block["text"] for block in blocks if block["type"] == "text"),
            calls=calls,
            finish=_FINISH.get(body["stop_reason"], Finish.DONE),
            tokens=read_counts(body.get("usage"), _COUNTS),
            served_model=body.get("model") or request.model,
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
        self._stop_reason: str | None = None
        self._blocks: dict[int, RawCall] = {}

    def on_event(self, event: Mapping[str, Any]) -> None:
        match event["type"]:
            case "content_block_delta":
                delta = event["delta"]
                if delta["type"] == "text_delta":
                    self._collector.add(delta["text"])
                elif delta["type"] == "input_json_delta":
                    self._blocks[event["index"]].arguments += delta["partial_json"]
            case "content_block_start":
                block = event["content_block"]
                if block["type"] == "tool_use":
                    self._blocks[event["index"]] = RawCall(call_id=block["id"], name=block["name"])
            case "message_start":
                self._served_model = event["message"].get("model") or self._served_model
                self._add_counts(event["message"].get("usage"))
                self._usage.pop("output_tokens", None)  # so far the count of the first tokens only
            case "message_delta":
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
                self._add_counts(event.get("usage"))
            case "error":
                raise stream_fault(event.get("error") or {})

    def _add_counts(self, usage: object) -> None:
        # The last counts are the valid ones; a count that has not changed may be null.
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})

    def finish(self) -> ProviderAnswer:
        text = self._collector.finish()
        if self._stop_reason is None:  # the output tokens come with the reason to stop, so their number is unknown
            raise cut_off()
        return assemble(
            text=text,
            calls=list(self._blocks.values()),
            finish=_FINISH.get(self._stop_reason, Finish.DONE),
            tokens=read_counts(self._usage, _COUNTS),
            served_model=self._served_model,
            request=self._request,
        )


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
