"""OpenAI's chat completions, the protocol that most other servers have too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.llm.interface import ChatMessage
from app.llm.pricing import CountNames, read_counts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest, SchemaMode
from app.llm.providers.sse import TextCollector
from app.llm.providers.wire import RawCall, assemble, cut_off, stream_fault

COUNTS = CountNames(
    input="prompt_tokens",
    output="completion_tokens",
    details="prompt_tokens_details",
    cache_read="cached_tokens",
    cache_write="cache_write_tokens",
)
_FINISH = {"length": Finish.LENGTH, "content_filter": Finish.REFUSED}


class ChatCompletions:
    """The chat endpoint. Implements `WireFormat`."""

    path = "/chat/completions"

    def to_body(self, request: ProviderRequest) -> JsonObject:
        # No temperature: reasoning models refuse it. For the same reason not `max_tokens` but its successor.
        body: JsonObject = {
            "model": request.model,
            "messages": [_to_message(message) for message in request.messages],
            "max_completion_tokens": request.max_tokens,
        }
        if request.stream:
            body["stream"] = True
            # Without it the stream ends without the count of tokens.
            body["stream_options"] = {"include_usage": True}
        if request.output is not None and request.schema_mode is SchemaMode.NATIVE:
            named: JsonObject = {"name": request.output.name, "strict": True, "schema": request.output.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.output is not None:
            body["tools"] = [_to_function(request.output.name, "Gives the answer.", request.output.schema)]
            body["tool_choice"] = {"type": "function", "function": {"name": request.output.name}}
        elif request.tools:
            body["tools"] = [_to_function(tool.name, tool.description, tool.parameters) for tool in request.tools]
        return body

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        choice = body["choices"][0]
        message = choice["message"]
        calls = [
            RawCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        ]
        return assemble(
            text=message.get("content") or "",
            calls=calls,
            finish=Finish.REFUSED if message.get("refusal") else _FINISH.get(choice["finish_reason"], Finish.DONE),
            tokens=read_counts(body.get("usage"), COUNTS),
            served_model=body.get("model") or request.model,
            request=request,
        )

    def open_stream(self, request: ProviderRequest, collector: TextCollector) -> ChatStream:
        return ChatStream(request, collector)


class ChatStream:
    """A streamed chat completion. Implements `AnswerStream`."""

    def __init__(self, request: ProviderRequest, collector: TextCollector) -> None:
        self._request = request
        self._collector = collector
        self._finish_reason: str | None = None
        self._refused = False
        self._usage: object = None
        self._served_model = request.model
        self._calls: dict[int, RawCall] = {}

    def on_event(self, event: Mapping[str, Any]) -> None:
        if error := event.get("error"):
            raise stream_fault(error if isinstance(error, dict) else {})
        if usage := event.get("usage"):
            self._usage = usage
        for choice in event["choices"]:
            delta = choice["delta"]
            if text := delta.get("content"):
                self._collector.add(text)
            if delta.get("refusal"):
                self._refused = True
            for piece in delta.get("tool_calls") or ():
                self._add_call(piece)
            if reason := choice.get("finish_reason"):
                self._finish_reason = reason
                self._served_model = event.get("model") or self._served_model

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        # Only the first piece of a call has its id and name; `index` connects the rest with it.
        call = self._calls.setdefault(piece.get("index", 0), RawCall())
        function = piece.get("function") or {}
        call.call_id += piece.get("id") or ""
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""

    def finish(self) -> ProviderAnswer:
        text = self._collector.finish()
        tokens = read_counts(self._usage, COUNTS)
        if self._finish_reason is None:
            raise cut_off(tokens)
        return assemble(
            text=text,
            calls=list(self._calls.values()),
            finish=Finish.REFUSED if self._refused else _FINISH.get(self._finish_reason, Finish.DONE),
            tokens=tokens,
            served_model=self._served_model,
            request=self._request,
        )


def _to_message(message: ChatMessage) -> JsonObject:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": message.content}
    if not message.tool_calls:
        return {"role": message.role, "content": message.content}
    calls: list[JsonObject] = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
        }
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": message.content or None, "tool_calls": [*calls]}


def _to_function(name: str, description: str, parameters: Mapping[str, Any]) -> JsonObject:
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": dict(parameters)},
    }
