"""OpenAI's chat completions, the protocol that most other servers have too.

Only OpenAI itself fills in every field, so none is taken for granted here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.llm.interface import ChatMessage
from app.llm.pricing import CountNames, read_counts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest, SchemaMode
from app.llm.providers.lenient import each_mapping, to_arguments, to_mapping, to_text
from app.llm.providers.text_collector import TextCollector
from app.llm.providers.thoughts import without_thoughts
from app.llm.providers.wire import RawCall, answered_fault, assemble, cut_off, read_arguments
from app.llm.server_dialect import Feature

_FINISH = {
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "content_filter": Finish.REFUSED,
    "refusal": Finish.REFUSED,
    "safety": Finish.REFUSED,
    "SAFETY": Finish.REFUSED,
    "model_context_window_exceeded": Finish.CONTEXT_OVERFLOW,
}

# The server stopped by itself: DeepSeek when it is overloaded, OpenRouter when the vendor behind it failed.
_FAILED = frozenset({"error", "insufficient_system_resource"})
COUNTS = CountNames(
    input="prompt_tokens",
    output="completion_tokens",
    details="prompt_tokens_details",
    cache_read="cached_tokens",
    cache_write="cache_write_tokens",
    # DeepSeek; Moonshot and Together; LiteLLM.
    cache_read_beside=("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"),
    cache_write_beside=("cache_creation_input_tokens",),
)


class ChatCompletions:
    """The chat endpoint. Implements `WireFormat`."""

    path = "/chat/completions"
    features = frozenset(Feature) - {Feature.SUMMARY, Feature.STORE}

    def to_body(self, request: ProviderRequest) -> JsonObject:
        # No temperature: reasoning models refuse it. For the same reason not `max_tokens` but its successor.
        limit = "max_completion_tokens" if request.dialect.has(Feature.TOKEN_LIMIT_NAME) else "max_tokens"
        body: JsonObject = {
            "model": request.model,
            "messages": [_to_message(message) for message in request.messages],
            limit: request.max_tokens,
        }
        if request.stream:
            body["stream"] = True
            if request.dialect.has(Feature.STREAM_OPTIONS):
                # Without it the stream ends without the count of tokens.
                body["stream_options"] = {"include_usage": True}
        if request.effort:
            body["reasoning_effort"] = request.effort
        if request.end_user:
            body["safety_identifier"] = request.end_user
        return body | _output_fields(request)

    def to_answer(self, body: Mapping[str, Any], request: ProviderRequest) -> ProviderAnswer:
        choice = next(each_mapping(body.get("choices")), None)
        if choice is None or choice.get("error") or choice.get("finish_reason") in _FAILED:
            raise answered_fault(choice or body, request)
        message = to_mapping(choice.get("message") or choice.get("delta"))
        calls = [_to_call(call) for call in each_mapping(message.get("tool_calls"))]
        if old := to_mapping(message.get("function_call")):
            calls.append(_to_call({"function": old}))
        return assemble(
            text=without_thoughts(to_text(message.get("content")) or to_text(choice.get("text"))),
            calls=calls,
            finish=Finish.REFUSED if message.get("refusal") else _to_finish(choice.get("finish_reason")),
            tokens=read_counts(body.get("usage"), COUNTS),
            served_model=to_text(body.get("model")) or request.model,
            request=request,
        )

    def open_stream(self, request: ProviderRequest, collector: TextCollector) -> ChatStream:
        return ChatStream(request, collector)


class ChatStream:
    """A streamed chat completion. Implements `AnswerStream`."""

    def __init__(self, request: ProviderRequest, collector: TextCollector) -> None:
        self._request = request
        self._collector = collector
        self._finish_reason: object = None
        self._refused = False
        self._usage: object = None
        self._served_model = request.model
        self._calls: list[RawCall] = []
        self._growing: dict[object, RawCall] = {}

    @property
    def complete(self) -> bool:
        return self._finish_reason is not None

    def on_event(self, event: Mapping[str, Any]) -> None:
        if event.get("error"):
            raise answered_fault(event, self._request)
        if usage := event.get("usage"):
            self._usage = usage
        choices = event.get("choices")
        if choices is None and _is_error(event):
            raise answered_fault(event, self._request)
        for choice in choices or ():
            # Some servers close with a message, or with bare text, in place of a delta.
            delta = choice.get("delta") or choice.get("message")
            if delta:
                self._add(delta)
            elif text := choice.get("text"):
                self._collector.add(text)
            if reason := choice.get("finish_reason"):
                self._end(event, choice, reason)

    def _add(self, delta: Mapping[str, Any]) -> None:
        content = delta.get("content")
        if content:
            self._collector.add(content if isinstance(content, str) else to_text(content))
        if delta.get("refusal"):
            self._refused = True
        for piece in each_mapping(delta.get("tool_calls")):
            self._add_call(piece)
        if old := delta.get("function_call"):
            self._add_call({"index": "function_call", "function": old})

    def _end(self, event: Mapping[str, Any], choice: Mapping[str, Any], reason: object) -> None:
        if choice.get("error") or reason in _FAILED:
            raise answered_fault(choice, self._request)
        self._finish_reason = reason
        self._served_model = to_text(event.get("model")) or self._served_model

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        # Only the first piece of a call has its id and name; `index` connects the rest with it. Servers that leave the
        # index out send each call in one piece, or an id with each piece.
        key = piece.get("index")
        if key is None:
            key = piece.get("id") or next(reversed(self._growing), 0)
        more = _to_call(piece)
        call = self._growing.get(key)
        if call is None or _begins_another(call, more):
            self._growing[key] = more
            self._calls.append(more)
            return
        call.call_id = call.call_id or more.call_id
        call.name = call.name or more.name
        call.arguments += more.arguments

    def finish(self, *, ended: bool) -> ProviderAnswer:
        text = self._collector.finish()
        tokens = read_counts(self._usage, COUNTS)
        if self._finish_reason is None and not ended:
            raise cut_off(tokens)
        return assemble(
            text=text,
            calls=self._calls,
            finish=Finish.REFUSED if self._refused else _to_finish(self._finish_reason),
            tokens=tokens,
            served_model=self._served_model,
            request=self._request,
        )


def _is_error(event: Mapping[str, Any]) -> bool:
    """Checks whether an event without choices has the fields of an error without an envelope, or MiniMax's."""
    told = event.get("message") or event.get("detail")
    failed = to_mapping(event.get("base_resp")).get("status_code")
    return bool(failed) or event.get("object") == "error" or isinstance(told, str | list)


def _begins_another(call: RawCall, more: RawCall) -> bool:
    """Checks whether a piece begins a new call: Gemini, and others, give all calls of a turn one index, or none."""
    if not (more.name and call.name):
        return False
    other_id = more.call_id not in ("", call.call_id)
    if other_id and more.name != call.name:
        return True
    # Some servers invent an id for each piece of a call, so an id alone proves nothing.
    return bool((more.arguments or other_id) and call.arguments) and read_arguments(call.arguments) is not None


def _to_finish(reason: object) -> Finish:
    return _FINISH.get(reason, Finish.DONE) if isinstance(reason, str) else Finish.DONE


def _to_call(call: Mapping[str, Any]) -> RawCall:
    function = to_mapping(call.get("function"))
    return RawCall(to_text(call.get("id")), to_text(function.get("name")), to_arguments(function.get("arguments")))


def _output_fields(request: ProviderRequest) -> JsonObject:
    """Builds the fields that ask for structured output, or offer tools."""
    output = request.output
    if output is not None and request.schema_mode is SchemaMode.NATIVE:
        named: JsonObject = {"name": output.name, "strict": True, "schema": output.schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if output is not None and request.schema_mode is SchemaMode.FUNCTION:
        return {
            "tools": [_to_function(output.name, "Gives the answer.", output.schema)],
            "tool_choice": {"type": "function", "function": {"name": output.name}},
        }
    tools: list[JsonObject] = [_to_function(tool.name, tool.description, tool.parameters) for tool in request.tools]
    required: JsonObject = {"tool_choice": "required"} if request.must_call_tool else {}
    return {"tools": [*tools], **required} if tools else {}


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
