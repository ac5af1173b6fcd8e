"""Our messages as LangChain's, and what a chat model of LangChain answers as a `ProviderAnswer`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from app.llm.interface import ChatMessage, ToolSpec
from app.llm.pricing import CountNames, TokenCounts, read_counts
from app.llm.providers.adapter import Finish, JsonObject, ProviderAnswer, ProviderRequest, SchemaMode
from app.llm.providers.wire import RawCall, assemble

COUNTS = CountNames(
    input="input_tokens",
    output="output_tokens",
    details="input_token_details",
    cache_read="cache_read",
    cache_write="cache_creation",
)
# Each integration passes its vendor's own word on, under its vendor's own name.
_REASON_FIELDS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_FINISH = {
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "content_filter": Finish.REFUSED,
    "content_filtered": Finish.REFUSED,
    "guardrail_intervened": Finish.REFUSED,
    "refusal": Finish.REFUSED,
    "safety": Finish.REFUSED,
    "prohibited_content": Finish.REFUSED,
    "blocklist": Finish.REFUSED,
    "recitation": Finish.REFUSED,
    "model_context_window_exceeded": Finish.CONTEXT_OVERFLOW,
}


def to_langchain(messages: Sequence[ChatMessage]) -> list[BaseMessage]:
    """Converts a conversation."""
    return [_to_message(message) for message in messages]


def _to_message(message: ChatMessage) -> BaseMessage:
    match message.role:
        case "system":
            return SystemMessage(message.content)
        case "user":
            return HumanMessage(message.content)
        case "tool":
            return ToolMessage(message.content, tool_call_id=message.tool_call_id or "")
        case "assistant":
            calls = [
                {"name": call.name, "args": dict(call.arguments), "id": call.id, "type": "tool_call"}
                for call in message.tool_calls
            ]
            return AIMessage(message.content, tool_calls=calls)


def to_functions(request: ProviderRequest) -> list[JsonObject]:
    """Builds the functions that the request offers, in the form that every integration takes."""
    output = request.output
    if output is not None and request.schema_mode is SchemaMode.FUNCTION:
        return [_to_function(ToolSpec(output.name, "Gives the answer.", output.schema))]
    return [_to_function(tool) for tool in request.tools]


def _to_function(tool: ToolSpec) -> JsonObject:
    function: JsonObject = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


class LangChainAnswer:
    """One answer of a chat model, put together from its pieces: many of a stream, or a single message."""

    def __init__(self, request: ProviderRequest) -> None:
        self._request = request
        self._calls: dict[object, RawCall] = {}
        self._usage: dict[str, Any] = {}
        self._reason = ""
        self._served_model = ""

    @property
    def complete(self) -> bool:
        """Checks whether the reason why the model stopped has come."""
        return bool(self._reason)

    def add(self, message: BaseMessage) -> str:
        """Adds a piece. Returns its text."""
        metadata: Mapping[str, Any] = message.response_metadata
        reason = next((metadata[name] for name in _REASON_FIELDS if metadata.get(name)), None)
        # A member of an enumeration (Google) has its word in `name`.
        self._reason = str(getattr(reason, "name", reason) or self._reason)
        self._served_model = self._served_model or str(metadata.get("model_name") or metadata.get("model") or "")
        if isinstance(message, AIMessage):
            self._count(message)
            self._add_calls(message)
        return str(message.text)

    def finish(self, text: str) -> ProviderAnswer:
        """Returns the whole answer. Raises InvalidOutput if the arguments of a tool call are not a JSON object."""
        return assemble(
            text=text,
            calls=[call for call in self._calls.values() if call.name],
            finish=_FINISH.get(self._reason.lower(), Finish.DONE),
            tokens=self.tokens(),
            served_model=self._served_model or self._request.model,
            request=self._request,
        )

    def tokens(self) -> TokenCounts | None:
        """Reads the counts that have come so far."""
        return read_counts(self._usage, COUNTS)

    def _count(self, message: AIMessage) -> None:
        # The pieces of a stream have the counts in parts, which LangChain's own sum adds up, too.
        for name, value in (message.usage_metadata or {}).items():
            if isinstance(value, int):
                self._usage[name] = self._usage.get(name, 0) + value
            elif isinstance(value, Mapping):
                details = self._usage.setdefault(name, {})
                for detail, count in value.items():
                    details[detail] = details.get(detail, 0) + count

    def _add_calls(self, message: AIMessage) -> None:
        if isinstance(message, AIMessageChunk):
            for piece in message.tool_call_chunks:
                key = piece.get("index")
                call = self._calls.setdefault(len(self._calls) if key is None else ("index", key), RawCall())
                call.call_id = call.call_id or piece.get("id") or ""
                call.name = call.name or piece.get("name") or ""
                call.arguments += piece.get("args") or ""
            return
        for whole in message.tool_calls:
            arguments = json.dumps(whole["args"], ensure_ascii=False)
            self._calls[len(self._calls)] = RawCall(whole["id"] or "", whole["name"], arguments)
        for broken in message.invalid_tool_calls:
            self._calls[len(self._calls)] = RawCall(broken["id"] or "", broken["name"] or "", broken["args"] or "")
