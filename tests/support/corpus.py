"""The corpus: byte shapes that servers of models send, each with the answer that it must give (`tests/corpus`).

A file per vendor, a table per shape:

| key | value |
|---|---|
| `protocol` | `chat` (default), `responses` or `messages` |
| `asked` | what the request uses: `stream`, `native`, `function`, `tools`, `effort` |
| `status` | the status, 200 by default |
| `type` | the content type; by default events for `stream` with status 200, else JSON |
| `headers` | further headers |
| `body` | the body; `crlf = true` makes its line ends CRLF; `base64` takes its place for bytes that are no text |
| `breaks_off` | the connection ends before the body is complete |
| `answer` | `text`, `model`, `finish`, `tokens` (input, output, cache reads and writes), `calls`, `parsed` (a `City`) |
| `fault` | `kind`, `billed` (the cost is unknown), `tokens`, `teaches`, `limit` (of output tokens), `wait`, `says` |
"""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.llm.faults import ProviderFault
from app.llm.interface import ChatMessage, ToolSpec
from app.llm.json_schema import output_schema
from app.llm.json_text import read_json
from app.llm.pricing import TokenCounts
from app.llm.provider_table import Provider
from app.llm.providers.adapter import Finish, ProviderAdapter, ProviderAnswer, ProviderRequest, SchemaMode
from app.llm.server_dialect import Feature, output_limit, refused_feature

FOLDER = Path(__file__).parents[1] / "corpus"
MAX_TOKENS = 16_000
PROTOCOLS = {
    "chat": (Provider.OPENAI, "some-model"),
    "responses": (Provider.OPENAI, "some-codex"),  # a name of AGENT_OPENAI_RESPONSES_MODELS
    "messages": (Provider.ANTHROPIC, "some-claude"),
}
_SEARCH = ToolSpec(name="search", description="Searches.", parameters={"type": "object"})

Outcome = Mapping[str, Any]


class City(BaseModel):
    """The schema of structured requests."""

    name: str
    people: int


@dataclass(frozen=True)
class Shape:
    """One recorded response, and its outcome."""

    name: str
    protocol: str
    asked: frozenset[str]
    status: int
    headers: Mapping[str, str]
    body: bytes
    expected: Outcome

    @property
    def provider(self) -> Provider:
        return PROTOCOLS[self.protocol][0]

    @property
    def model(self) -> str:
        return PROTOCOLS[self.protocol][1]

    @property
    def stream(self) -> bool:
        return "stream" in self.asked

    def response(self) -> bytes:
        """Builds the bytes of the response before its body."""
        lines = [f"HTTP/1.1 {self.status} -", "Connection: close"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]).encode()


def read_corpus() -> list[Shape]:
    """Reads all shapes."""
    return [shape for path in sorted(FOLDER.glob("*.toml")) for shape in _read_file(path)]


def _read_file(path: Path) -> Iterator[Shape]:
    for name, fields in tomllib.loads(path.read_text()).items():
        yield _to_shape(f"{path.stem}: {name}", fields)


def _to_shape(name: str, fields: dict[str, Any]) -> Shape:
    protocol, asked, status = (
        fields.pop("protocol", "chat"),
        frozenset(fields.pop("asked", ())),
        fields.pop("status", 200),
    )
    default_type = "text/event-stream" if status == 200 and "stream" in asked else "application/json"
    body = base64.b64decode(fields.pop("base64")) if "base64" in fields else fields.pop("body").encode()
    if fields.pop("crlf", False):
        body = body.replace(b"\n", b"\r\n")
    missing = 1 if fields.pop("breaks_off", False) else 0
    headers = {"content-type": fields.pop("type", default_type), "content-length": str(len(body) + missing)}
    headers |= fields.pop("headers", {})
    expected = _to_outcome(fields.pop("answer", None), fields.pop("fault", None), model=PROTOCOLS[protocol][1])
    assert not fields, f"{name}: unknown {sorted(fields)}"
    return Shape(name, protocol, asked, status, headers, body, expected)


def _to_outcome(answer: dict[str, Any] | None, fault: dict[str, Any] | None, *, model: str) -> Outcome:
    if answer is not None:
        return {"text": "", "model": model, "finish": "done", "tokens": None, "calls": [], "parsed": None, **answer}
    assert fault is not None
    nothing = {"billed": False, "tokens": None, "teaches": None, "limit": None, "wait": None, "says": ""}
    return {**nothing, **fault}


def build_request(shape: Shape, told: list[str]) -> ProviderRequest:
    """Builds the request that the shape answers; `told` gets the streamed pieces of text."""
    structured = shape.asked & {"native", "function"}
    return ProviderRequest(
        model=shape.model,
        messages=(ChatMessage("system", "Be short."), ChatMessage("user", "Is anybody there?")),
        max_tokens=MAX_TOKENS,
        output=output_schema(City) if structured else None,
        schema_mode=SchemaMode.FUNCTION if "function" in shape.asked else SchemaMode.NATIVE,
        tools=(_SEARCH,) if "tools" in shape.asked else (),
        stream=shape.stream,
        on_text=told.append,
        effort="low" if "effort" in shape.asked else "",
    )


async def outcome_of(shape: Shape, adapter: ProviderAdapter) -> Outcome:
    """Makes the call, and writes down its outcome as the corpus does."""
    told: list[str] = []
    request = build_request(shape, told)
    try:
        answer = await adapter.answer(request)
    except ProviderFault as fault:
        sent = request.features().intersection(adapter.features(request.model))
        return _of_fault(fault, request, sent, shown=shape.expected.get("says", ""))
    # What was shown while it came is the answer.
    assert "".join(told) in ("", answer.text)
    return _of_answer(answer, request)


def _of_answer(answer: ProviderAnswer, request: ProviderRequest) -> Outcome:
    whole = request.output is not None and answer.finish is Finish.DONE
    return {
        "text": answer.text,
        "model": answer.served_model,
        "finish": answer.finish.name.lower(),
        "tokens": _counted(answer.tokens),
        "calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.tool_calls],
        "parsed": read_json(answer.text, City).model_dump() if whole else None,
    }


def _of_fault(fault: ProviderFault, request: ProviderRequest, sent: Collection[Feature], *, shown: str) -> Outcome:
    refusal = fault.refusal
    limit = output_limit(refusal, asked=request.max_tokens) if refusal else None
    return {
        "kind": fault.kind.value,
        "billed": fault.maybe_billed,
        "tokens": _counted(fault.tokens),
        "teaches": refused_feature(refusal, sent) if refusal and not limit else None,
        "limit": limit.tokens if limit else None,
        "wait": fault.retry_after,
        "says": shown if shown in fault.detail else fault.detail,
    }


def _counted(tokens: TokenCounts | None) -> list[int] | None:
    """Writes down the counts; those of the cache only if there are any."""
    if tokens is None:
        return None
    cached = [tokens.cache_read, tokens.cache_write]
    return [tokens.input, tokens.output, *(cached if any(cached) else [])]
