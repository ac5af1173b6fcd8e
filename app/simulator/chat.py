"""The dialect of OpenAI's `/v1/chat/completions`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from app.simulator.credentials import MISSING_KEY
from app.simulator.dialect import CREATED, dump, refuse, text_of
from app.simulator.prompt import ANY_TOOL, Answer, Finish, Json, Prompt, Role, ToolOffer, ToolUse, Turn
from app.simulator.scripted_faults import Failure
from app.simulator.strict import check_openai

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_FINISH = {
    Finish.STOP: "stop",
    Finish.REFUSAL: "stop",
    Finish.LENGTH: "length",
    Finish.TOOLS: "tool_calls",
}
# OpenAI answers a wrong key with the type of a wrong request.
_ERROR_TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "requests", 500: "server_error"}


class ChatCompletions:
    provider = "openai"
    endpoint = "chat.completions"

    def read(self, payload: Json) -> Prompt:
        model = str(payload["model"])
        # The real codex models answer on /v1/responses only; the product must choose that endpoint for them.
        if "codex" in model:
            raise refuse(
                "This model is only supported in v1/responses and not in v1/chat/completions.",
                code="model_not_found",
                status=404,
            )
        return Prompt(
            model=model,
            turns=tuple(Turn(_ROLES[message["role"]], _text(message)) for message in payload["messages"]),
            tools=tuple(_tool(tool) for tool in payload.get("tools") or ()),
            schema=_schema(payload.get("response_format")),
            forced_tool=read_forced_tool(payload.get("tool_choice")),
            max_tokens=payload.get("max_completion_tokens") or payload.get("max_tokens"),
            stream=bool(payload.get("stream")),
            stream_usage=bool((payload.get("stream_options") or {}).get("include_usage")),
        )

    def whole(self, prompt: Prompt, answer: Answer, *, answer_id: str) -> Json:
        refused = answer.finish is Finish.REFUSAL
        message: Json = {
            "role": "assistant",
            "content": None if refused or (answer.tool_uses and not answer.text) else answer.text,
            "refusal": answer.text if refused else None,
        }
        if answer.tool_uses:
            message["tool_calls"] = [_call(use) for use in answer.tool_uses]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[answer.finish]}
        head = _head(prompt, answer_id, "chat.completion")
        return {**head, "choices": [choice], "usage": _usage(prompt, answer)}

    def events(self, prompt: Prompt, answer: Answer, *, answer_id: str, pieces: Sequence[str]) -> Sequence[bytes]:
        # The head is the same in all events and is written once: JSON without its closing brace, to be continued.
        head = dump(_head(prompt, answer_id, "chat.completion.chunk"))[:-1]
        key = "refusal" if answer.finish is Finish.REFUSAL else "content"
        deltas = ['{"role":"assistant","content":""}', *(f'{{"{key}":{dump(piece)}}}' for piece in pieces)]
        deltas += [dump({"tool_calls": [{"index": at, **_call(use)}]}) for at, use in enumerate(answer.tool_uses)]
        events = [_event(head, delta, "null") for delta in deltas]
        events.append(_event(head, "{}", f'"{_FINISH[answer.finish]}"'))
        if prompt.stream_usage:
            events.append(f'data: {head},"choices":[],"usage":{dump(_usage(prompt, answer))}}}\n\n'.encode())
        return [*events, b"data: [DONE]\n\n"]

    def error(self, failure: Failure) -> Json:
        return openai_error(failure)


def openai_error(failure: Failure) -> Json:
    kind = "insufficient_quota" if failure.code == "insufficient_quota" else _ERROR_TYPES.get(failure.status)
    fallback = "server_error" if failure.status >= 500 else "invalid_request_error"
    code = None if failure.code == MISSING_KEY else failure.code  # OpenAI has a code for a wrong key only
    return {"error": {"message": failure.message, "type": kind or fallback, "param": None, "code": code}}


def read_forced_tool(choice: Any) -> str | None:
    if choice in ("required", "any"):
        return ANY_TOOL
    if isinstance(choice, dict):
        return str(choice.get("function", choice)["name"])
    return None


def _text(message: Json) -> str:
    text = text_of(message.get("content"))
    calls = message.get("tool_calls") or ()
    return text or " ".join(f"{call['function']['name']}({call['function']['arguments']})" for call in calls)


def _tool(tool: Json) -> ToolOffer:
    function = tool["function"]
    return ToolOffer(function["name"], function.get("description", ""), function.get("parameters", {}))


def _schema(response_format: Json | None) -> Json | None:
    kind = (response_format or {}).get("type")
    if response_format is None or kind not in ("json_schema", "json_object"):
        return None
    if kind == "json_object":  # free JSON: any object will do
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    wanted = response_format["json_schema"]
    if wanted.get("strict"):
        check_openai(wanted["schema"])
    schema: Json = wanted["schema"]
    return schema


def _call(use: ToolUse) -> Json:
    return {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": json.dumps(use.arguments)}}


def _head(prompt: Prompt, answer_id: str, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answer_id}",
        "object": kind,
        "created": CREATED,
        "model": prompt.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }


def _usage(prompt: Prompt, answer: Answer) -> Json:
    return {
        "prompt_tokens": prompt.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": prompt.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _event(head: str, delta: str, finish: str) -> bytes:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
    return f'data: {head},"choices":[{choice}],"usage":null}}\n\n'.encode()
