"""OpenAI's responses endpoint, for models that answer only there, or call tools only there.

The whole conversation is sent every time, and reasoning is not replayed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.llm.faults import ProviderFault
from app.llm.interface import ChatMessage
from app.llm.pricing import CountNames, TokenCounts, read_counts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest, SchemaMode
from app.llm.providers.lenient import each_mapping, to_arguments, to_mapping, to_text
from app.llm.providers.text_collector import TextCollector
from app.llm.providers.thoughts import without_thoughts
from app.llm.providers.wire import RawCall, answered_fault, assemble, cut_off
from app.llm.server_dialect import Feature

_LAST_EVENTS = frozenset({"response.completed", "response.incomplete", "response.done"})
# A response in one of these states is not an answer yet, or will never be one.
_UNFINISHED = frozenset({"in_progress", "queued", "cancelled"})
COUNTS = CountNames(
    input="input_tokens",
    output="output_tokens",
    details="input_tokens_details",
    cache_read="cached_tokens",
    cache_write="cache_write_tokens",
)


class Responses:
    """The responses endpoint. Implements `WireFormat`."""

    path = "/responses"
    features = frozenset(Feature) - {Feature.STREAM_OPTIONS, Feature.TOKEN_LIMIT_NAME}

    def to_body(self, request: ProviderRequest) -> JsonObject:
        items: list[JsonObject] = []
        for message in request.messages:
            items += _to_items(message)
        body: JsonObject = {
            "model": request.model,
            "input": [*items],
            "max_output_tokens": request.max_tokens,
        }
        if request.dialect.has(Feature.STORE):
            body["store"] = False  # the default is true: OpenAI would keep the conversation
        if request.stream:
            body["stream"] = True
        reasoning: JsonObject = {"effort": request.effort} if request.effort else {}
        if request.thinks and request.dialect.has(Feature.SUMMARY):
            reasoning["summary"] = "auto"  # while it thinks, a model sends nothing but its summaries
        if reasoning:
            body["reasoning"] = reasoning
        if request.end_user:
            body["safety_identifier"] = request.end_user
        return body | _output_fields(request)

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        _require_finished(body, request)
        if not isinstance(body.get("output"), list):
            raise answered_fault(body, request)
        return self.assemble(body, list(each_mapping(body["output"])), request)

    def assemble(
        self, body: Mapping[str, Any], items: list[Mapping[str, Any]], request: ProviderRequest, *, streamed: str = ""
    ) -> ProviderAnswer:
        """Builds the answer from its items; `streamed` is the text that came before them, for want of any."""
        messages = [item for item in items if item.get("type") == "message"]
        final = [item for item in messages if not _is_remark(item)] or messages
        parts = [part for item in final for part in each_mapping(item.get("content"))]
        text = "".join(to_text(part.get("text")) for part in parts if part.get("type") in ("output_text", "text"))
        refused = any(part.get("type") == "refusal" for part in parts)
        tokens = read_counts(body.get("usage"), COUNTS)
        return assemble(
            text=without_thoughts(text or streamed),
            calls=[
                RawCall(
                    to_text(item.get("call_id") or item.get("id")),
                    to_text(item.get("name")),
                    to_arguments(item.get("arguments")),
                )
                for item in items
                if item.get("type") == "function_call"
            ],
            finish=Finish.REFUSED if refused else _to_finish(body, tokens, request),
            tokens=tokens,
            served_model=to_text(body.get("model")) or request.model,
            request=request,
        )

    def open_stream(self, request: ProviderRequest, collector: TextCollector) -> ResponsesStream:
        return ResponsesStream(self, request, collector)


class ResponsesStream:
    """A streamed response. Implements `AnswerStream`.

    The last event should have the whole answer. Where it has none, the items and pieces that came before are used.
    """

    def __init__(self, responses: Responses, request: ProviderRequest, collector: TextCollector) -> None:
        self._responses = responses
        self._request = request
        self._collector = collector
        self._items: list[Mapping[str, Any]] = []
        self._last: Mapping[str, Any] | None = None
        self._remarking = False

    @property
    def complete(self) -> bool:
        return self._last is not None

    def on_event(self, event: Mapping[str, Any]) -> None:
        kind = event.get("type")
        if kind == "response.output_text.delta":
            if not self._remarking:
                self._collector.add(to_text(event.get("delta")))
        elif kind == "response.output_item.added":
            self._remarking = _is_remark(to_mapping(event.get("item")))
        elif kind == "response.output_item.done":
            self._items.append(to_mapping(event.get("item")))
        elif kind in _LAST_EVENTS:
            self._last = to_mapping(event.get("response"))
        elif kind == "response.failed":
            raise answered_fault(to_mapping(event.get("response")), self._request)
        elif kind == "error" or (kind is None and event.get("error")):
            raise answered_fault(event, self._request)

    def finish(self, *, ended: bool) -> ProviderAnswer:
        streamed = self._collector.finish()
        if self._last is None and not (ended and (streamed or self._items)):
            raise cut_off()
        body = self._last or {}
        _require_finished(body, self._request)
        items = list(each_mapping(body.get("output"))) or self._items
        return self._responses.assemble(body, items, self._request, streamed=streamed)


def _is_remark(item: Mapping[str, Any]) -> bool:
    """Checks whether the item is what a model remarks on its way, which is no part of its answer."""
    return item.get("phase") == "commentary"


def _require_finished(body: Mapping[str, Any], request: ProviderRequest) -> None:
    if body.get("error") or body.get("status") == "failed":
        raise answered_fault(body, request)
    if body.get("status") in _UNFINISHED:
        raise _unfinished(body)


def _unfinished(body: Mapping[str, Any]) -> ProviderFault:
    return cut_off(read_counts(body.get("usage"), COUNTS))


def _to_finish(body: Mapping[str, Any], tokens: TokenCounts | None, request: ProviderRequest) -> Finish:
    if body.get("status") != "incomplete" and not body.get("incomplete_details"):
        # llama.cpp calls an answer completed that stopped at its limit.
        at_limit = tokens is not None and tokens.output == request.max_tokens
        return Finish.LENGTH if at_limit else Finish.DONE
    # Whatever else the reason is: there is more that was not written.
    refused = to_mapping(body.get("incomplete_details")).get("reason") == "content_filter"
    return Finish.REFUSED if refused else Finish.LENGTH


def _output_fields(request: ProviderRequest) -> JsonObject:
    """Builds the fields that ask for structured output, or offer tools."""
    output = request.output
    if output is not None and request.schema_mode is SchemaMode.NATIVE:
        named: JsonObject = {"type": "json_schema", "name": output.name, "strict": True, "schema": output.schema}
        return {"text": {"format": named}}
    if output is not None and request.schema_mode is SchemaMode.FUNCTION:
        return {
            "tools": [_to_function(output.name, "Gives the answer.", output.schema)],
            "tool_choice": {"type": "function", "name": output.name},
        }
    tools: list[JsonObject] = [_to_function(tool.name, tool.description, tool.parameters) for tool in request.tools]
    required: JsonObject = {"tool_choice": "required"} if request.must_call_tool else {}
    return {"tools": [*tools], **required} if tools else {}


def _to_items(message: ChatMessage) -> list[JsonObject]:
    if message.role == "tool":
        return [{"type": "function_call_output", "call_id": message.tool_call_id or "", "output": message.content}]
    items: list[JsonObject] = []
    if message.content:
        # OpenAI infers the type where it is left out; other servers do not.
        items.append({"type": "message", "role": message.role, "content": message.content})
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
