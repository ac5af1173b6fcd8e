"""OpenAI's responses endpoint, for models that answer only there, or call tools only there.

The whole conversation is sent every time, and reasoning is not replayed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.llm.interface import ChatMessage
from app.llm.pricing import CountNames, read_counts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest, SchemaMode
from app.llm.providers.sse import TextCollector
from app.llm.providers.wire import RawCall, assemble, cut_off, stream_fault

_COUNTS = CountNames(
    input="input_tokens",
    output="output_tokens",
    details="input_tokens_details",
    cache_read="cached_tokens",
    cache_write="cache_write_tokens",
)
_INCOMPLETE = {"max_output_tokens": Finish.LENGTH, "content_filter": Finish.REFUSED}
_LAST_EVENTS = frozenset({"response.completed", "response.incomplete"})


class Responses:
    """The responses endpoint. Implements `WireFormat`."""

    path = "/responses"

    def to_body(self, request: ProviderRequest) -> JsonObject:
        items: list[JsonObject] = []
        for message in request.messages:
            items += _to_items(message)
        body: JsonObject = {
            "model": request.model,
            "input": [*items],
            "max_output_tokens": request.max_tokens,
            "store": False,  # the default is true: OpenAI would keep the conversation
        }
        if request.stream:
            body["stream"] = True
        output = request.output
        if output is not None and request.schema_mode is SchemaMode.NATIVE:
            body["text"] = {
                "format": {"type": "json_schema", "name": output.name, "strict": True, "schema": output.schema}
            }
        elif output is not None:
            body["tools"] = [_to_function(output.name, "Gives the answer.", output.schema)]
            body["tool_choice"] = {"type": "function", "name": output.name}
        elif request.tools:
            body["tools"] = [_to_function(tool.name, tool.description, tool.parameters) for tool in request.tools]
        return body

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        if error := body.get("error"):
            raise stream_fault(error)
        parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
        calls = [
            RawCall(item["call_id"], item["name"], item["arguments"])
            for item in body["output"]
            if item["type"] == "function_call"
        ]
        finish = _INCOMPLETE.get((body.get("incomplete_details") or {}).get("reason", ""), Finish.DONE)
        if any(part["type"] == "refusal" for part in parts):
            finish = Finish.REFUSED
        return assemble(
            text="".join(part["text"] for part in parts if part["type"] == "output_text"),
            calls=calls,
            finish=finish,
            tokens=read_counts(body.get("usage"), _COUNTS),
            served_model=body.get("model") or request.model,
            request=request,
        )

    def open_stream(self, request: ProviderRequest, collector: TextCollector) -> ResponsesStream:
        return ResponsesStream(self, request, collector)


class ResponsesStream:
    """A streamed response. Implements `AnswerStream`: the last event has the whole answer, deltas are for progress."""

    def __init__(self, responses: Responses, request: ProviderRequest, collector: TextCollector) -> None:
        self._responses = responses
        self._request = request
        self._collector = collector
        self._last: Mapping[str, Any] | None = None

    def on_event(self, event: Mapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "response.output_text.delta":
            self._collector.add(event["delta"])
        elif kind in _LAST_EVENTS:
            self._last = event["response"]
        elif kind == "response.failed":
            raise stream_fault(event["response"].get("error") or {})
        elif kind == "error":
            raise stream_fault(event.get("error") or event)

    def finish(self) -> ProviderAnswer:
        self._collector.finish()
        if self._last is None:
            raise cut_off()
        return self._responses.to_answer(self._last, self._request)


def _to_items(message: ChatMessage) -> list[JsonObject]:
    if message.role == "tool":
        return [{"type": "function_call_output", "call_id": message.tool_call_id or "", "output": message.content}]
    items: list[JsonObject] = []
    if message.content:
        items.append({"role": message.role, "content": message.content})
    for call in message.tool_calls:
        arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
        items.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments})
    return items


def _to_function(name: str, description: str, parameters: Mapping[str, Any]) -> JsonObject:
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": dict(parameters),
        "strict": False,
    }
