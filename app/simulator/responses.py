"""The dialect of OpenAI's `/v1/responses`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from app.simulator.chat import openai_error, read_forced_tool
from app.simulator.dialect import CREATED, dump, text_of
from app.simulator.prompt import Answer, Finish, Json, Prompt, ToolOffer, ToolUse, Turn
from app.simulator.scripted_faults import Failure
from app.simulator.strict import check_openai


class Responses:
    provider = "openai"
    endpoint = "responses"

    def read(self, payload: Json) -> Prompt:
        given = payload["input"]
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        instructions = payload.get("instructions")
        head = (Turn("system", str(instructions)),) if instructions else ()
        return Prompt(
            model=str(payload["model"]),
            turns=head + tuple(turn for item in items for turn in _turns(item)),
            tools=tuple(_tool(tool) for tool in payload.get("tools") or () if tool.get("type") == "function"),
            schema=_schema((payload.get("text") or {}).get("format")),
            forced_tool=read_forced_tool(payload.get("tool_choice")),
            max_tokens=payload.get("max_output_tokens"),
            stream=bool(payload.get("stream")),
        )

    def whole(self, prompt: Prompt, answer: Answer, *, answer_id: str) -> Json:
        return _response(prompt, answer, answer_id, output=_output(answer, answer_id))

    def events(self, prompt: Prompt, answer: Answer, *, answer_id: str, pieces: Sequence[str]) -> Sequence[bytes]:
        # The events in the order in which OpenAI sends them: its SDK builds the final response from them.
        begun = _response(prompt, answer, answer_id, output=None)
        done = self.whole(prompt, answer, answer_id=answer_id)
        listed: list[tuple[str, Json]] = [
            ("response.created", {"response": begun}),
            ("response.in_progress", {"response": begun}),
        ]
        for at, item in enumerate(done["output"]):
            listed.append(("response.output_item.added", {"output_index": at, "item": _emptied(item)}))
            listed.extend(_deltas(at, item, pieces))
            listed.append(("response.output_item.done", {"output_index": at, "item": item}))
        listed.append((f"response.{done['status']}", {"response": done}))
        return [_event(name, number, fields) for number, (name, fields) in enumerate(listed)]

    def error(self, failure: Failure) -> Json:
        return openai_error(failure)


def _turns(item: Json) -> Iterator[Turn]:
    kind = item.get("type", "message")
    if kind == "function_call":
        yield Turn("assistant", f"{item['name']}({item['arguments']})")
    elif kind == "function_call_output":
        yield Turn("tool", text_of(item["output"]))
    elif kind == "message":
        role = item["role"]
        yield Turn("system" if role == "developer" else role, text_of(item["content"]))


def _tool(tool: Json) -> ToolOffer:
    return ToolOffer(tool["name"], tool.get("description") or "", tool.get("parameters") or {})


def _schema(wanted: Json | None) -> Json | None:
    kind = (wanted or {}).get("type")
    if wanted is None or kind not in ("json_schema", "json_object"):
        return None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    schema: Json = wanted["schema"]
    if wanted.get("strict"):
        check_openai(schema)
    return schema


def _output(answer: Answer, answer_id: str) -> list[Json]:
    output = [_call(use) for use in answer.tool_uses]
    if answer.text or not output:
        status = "incomplete" if answer.finish is Finish.LENGTH else "completed"
        content = [_part(answer)] if answer.text else []
        message = {"id": f"msg_{answer_id}", "type": "message", "role": "assistant", "status": status}
        output.insert(0, {**message, "content": content})
    return output


def _part(answer: Answer) -> Json:
    if answer.finish is Finish.REFUSAL:
        return {"type": "refusal", "refusal": answer.text}
    return {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}


def _call(use: ToolUse) -> Json:
    return {
        "id": f"fc_{use.id}",
        "type": "function_call",
        "call_id": use.id,
        "name": use.name,
        "arguments": json.dumps(use.arguments),
        "status": "completed",
    }


def _emptied(item: Json) -> Json:
    emptied: Json = {"arguments": ""} if item["type"] == "function_call" else {"content": []}
    return {**item, **emptied, "status": "in_progress"}


def _deltas(at: int, item: Json, pieces: Sequence[str]) -> Iterator[tuple[str, Json]]:
    where: dict[str, Any] = {"item_id": item["id"], "output_index": at}
    if item["type"] == "function_call":
        yield "response.function_call_arguments.delta", {**where, "delta": item["arguments"]}
        yield "response.function_call_arguments.done", {**where, "arguments": item["arguments"], "name": item["name"]}
        return
    if not item["content"]:
        return
    part = item["content"][0]
    where["content_index"] = 0
    refused = part["type"] == "refusal"
    name, key = ("refusal", "refusal") if refused else ("output_text", "text")
    more: Json = {} if refused else {"logprobs": []}
    yield "response.content_part.added", {**where, "part": {**part, key: ""}}
    for piece in pieces:
        yield f"response.{name}.delta", {**where, "delta": piece, **more}
    yield f"response.{name}.done", {**where, key: part[key], **more}
    yield "response.content_part.done", {**where, "part": part}


def _response(prompt: Prompt, answer: Answer, answer_id: str, *, output: list[Json] | None) -> Json:
    cut = answer.finish is Finish.LENGTH
    finished = "incomplete" if cut else "completed"
    return {
        "id": f"resp_{answer_id}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress" if output is None else finished,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut and output is not None else None,
        "instructions": None,
        "max_output_tokens": prompt.max_tokens,
        "metadata": {},
        "model": prompt.model,
        "output": output or [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None if output is None else _usage(prompt, answer),
    }


def _usage(prompt: Prompt, answer: Answer) -> Json:
    return {
        "input_tokens": prompt.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt.input_tokens + answer.output_tokens,
    }


def _event(name: str, number: int, fields: Json) -> bytes:
    return f"event: {name}\ndata: {dump({'type': name, 'sequence_number': number, **fields})}\n\n".encode()
