"""The dialect of Anthropic's `/v1/messages`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from app.simulator.dialect import dump, text_of
from app.simulator.prompt import ANY_TOOL, Answer, Finish, Json, Prompt, ToolOffer, Turn
from app.simulator.scripted_faults import Failure
from app.simulator.strict import check_anthropic

_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.REFUSAL: "refusal",
    Finish.TOOLS: "tool_use",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Messages:
    provider = "anthropic"
    endpoint = "messages"

    def read(self, payload: Json) -> Prompt:
        system = text_of(payload.get("system"))
        head = (Turn("system", system),) if system else ()
        return Prompt(
            model=str(payload["model"]),
            turns=head + tuple(turn for message in payload["messages"] for turn in _turns(message)),
            # Tools without a schema are the provider's own, such as its web search.
            tools=tuple(_tool(tool) for tool in payload.get("tools") or () if "input_schema" in tool),
            schema=_schema(payload),
            forced_tool=_forced_tool(payload.get("tool_choice")),
            max_tokens=int(payload["max_tokens"]),  # required by Anthropic, unlike OpenAI
            stream=bool(payload.get("stream")),
        )

    def whole(self, prompt: Prompt, answer: Answer, *, answer_id: str) -> Json:
        return {
            **_head(prompt, answer_id),
            "content": _blocks(answer),
            "stop_reason": _STOP_REASONS[answer.finish],
            "stop_sequence": None,
            "usage": {"input_tokens": prompt.input_tokens, "output_tokens": answer.output_tokens},
        }

    def events(self, prompt: Prompt, answer: Answer, *, answer_id: str, pieces: Sequence[str]) -> Sequence[bytes]:
        begun = {
            **_head(prompt, answer_id),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": prompt.input_tokens, "output_tokens": 1},
        }
        events = [_event("message_start", {"message": begun})]
        for at, block in enumerate(_blocks(answer)):
            events.append(_event("content_block_start", {"index": at, "content_block": _emptied(block)}))
            events += [_event("content_block_delta", {"index": at, "delta": delta}) for delta in _deltas(block, pieces)]
            events.append(_event("content_block_stop", {"index": at}))
        delta = {"stop_reason": _STOP_REASONS[answer.finish], "stop_sequence": None}
        usage = {"input_tokens": prompt.input_tokens, "output_tokens": answer.output_tokens}
        return [*events, _event("message_delta", {"delta": delta, "usage": usage}), _event("message_stop", {})]

    def error(self, failure: Failure) -> Json:
        kind = _ERROR_TYPES.get(failure.status, "api_error")
        quota = failure.code == "insufficient_quota"
        message = "Your credit balance is too low to access the API." if quota else failure.message
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulator"}


def _turns(message: Json) -> Iterator[Turn]:
    content = message["content"]
    if isinstance(content, str):
        yield Turn(message["role"], content)
        return
    for block in content:
        if block["type"] == "text":
            yield Turn(message["role"], block["text"])
        elif block["type"] == "tool_use":
            yield Turn("assistant", f"{block['name']}({json.dumps(block['input'])})")
        elif block["type"] == "tool_result":
            yield Turn("tool", text_of(block.get("content")))


def _tool(tool: Json) -> ToolOffer:
    return ToolOffer(tool["name"], tool.get("description") or "", tool["input_schema"])


def _schema(payload: Json) -> Json | None:
    wanted = (payload.get("output_config") or {}).get("format") or payload.get("output_format")
    if not wanted:
        return None
    schema: Json = wanted["schema"]
    check_anthropic(schema)
    return schema


def _forced_tool(choice: Any) -> str | None:
    kind = (choice or {}).get("type")
    if kind == "any":
        return ANY_TOOL
    return str(choice["name"]) if kind == "tool" else None


def _head(prompt: Prompt, answer_id: str) -> Json:
    return {"id": f"msg_{answer_id}", "type": "message", "role": "assistant", "model": prompt.model}


def _blocks(answer: Answer) -> list[Json]:
    text = [{"type": "text", "text": answer.text}] if answer.text else []
    uses = [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.arguments} for use in answer.tool_uses]
    return [*text, *uses]


def _emptied(block: Json) -> Json:
    return {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}


def _deltas(block: Json, pieces: Sequence[str]) -> Iterator[Json]:
    if block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        return
    for piece in pieces:
        yield {"type": "text_delta", "text": piece}


def _event(name: str, fields: Json) -> bytes:
    return f"event: {name}\ndata: {dump({'type': name, **fields})}\n\n".encode()
