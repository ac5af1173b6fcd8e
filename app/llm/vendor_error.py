"""The reason that a server gives for refusing a request, read from any of the shapes in which servers write it.

OpenAI and its imitators put an object under `error`, Anthropic adds a code under `details`, Ollama writes a string,
Mistral and vLLM put the fields at the top, Mistral also an object into the message, FastAPI a list under `detail`,
Cloudflare a list under `errors`, Google a list around everything. A server that has begun to answer with status 200
names the status of its error as a code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.telemetry.logs import redact

SHOWN_CHARACTERS = 300
# Shorter runs are in every sentence; longer ones are a quotation. The second limit is for languages without spaces.
_QUOTED_WORDS = 3
_QUOTED_CHARACTERS = 16
# Anything longer, or with spaces, is prose under the wrong name. `error` says nothing.
_CODE = re.compile(r"(?!error$)[A-Za-z0-9_.:-]{1,64}")
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "cf-ray")


@dataclass(frozen=True)
class VendorError:
    """One refusal. `status` is the HTTP status that counts; `codes` are all codes and types, the exact ones first.

    `message` is the vendor's prose in full: pass it through `without_quotes` before it is shown to anyone.
    """

    status: int | None = None
    codes: tuple[str, ...] = ()
    param: str = ""
    message: str = ""
    request_id: str = ""


def read_error(body: object, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> VendorError:
    """Reads the body of an error. Whatever is missing, or has another type than expected, stays empty."""
    outer = _first(body)
    top: Mapping[str, Any] = outer if isinstance(outer, dict) else {"message": outer}
    named = _first(top.get("error") or top.get("errors"))
    error: Mapping[str, Any] = named if isinstance(named, dict) else {**top, **_as_message(named)}
    inner = error.get("message")
    if isinstance(inner, dict):
        error = {**error, **inner}
    details = error.get("details")
    exact = details.get("error_code") if isinstance(details, dict) else None
    codes = [exact, *(source.get(name) for source in (error, top) for name in ("code", "type", "status"))]
    return VendorError(
        status=status if status is not None and status >= 300 else _status_among(codes),
        codes=tuple(dict.fromkeys(code for code in codes if isinstance(code, str) and _CODE.fullmatch(code))),
        param=_param(error),
        message=_prose(error),
        request_id=_request_id(top, headers or {}),
    )


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _as_message(named: object) -> dict[str, Any]:
    return {"message": named} if isinstance(named, str) else {}


def _status_among(codes: Sequence[object]) -> int | None:
    for code in codes:
        text = str(code)
        if not isinstance(code, bool) and len(text) == 3 and text.isdecimal() and text >= "400":
            return int(text)
    return None


def _param(error: Mapping[str, Any]) -> str:
    listed = error.get("detail")
    places = [item.get("loc") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    paths = [".".join(str(part) for part in place) for place in places if isinstance(place, list)]
    param = error.get("param")
    return ", ".join([param] if isinstance(param, str) and param else paths)


def _prose(error: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for name in ("message", "detail", "msg", "title", "error_description"):
        parts += _texts(error.get(name))
    metadata = error.get("metadata")
    if isinstance(metadata, dict):  # OpenRouter: the text of the vendor behind it
        parts += _texts(metadata.get("raw"))
    return " ".join(dict.fromkeys(parts))


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, dict):
        return _texts(value.get("msg") or value.get("message") or value.get("error"))
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


def _request_id(top: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    named = [headers.get(name) for name in _REQUEST_ID_HEADERS] + [top.get("request_id")]
    error = top.get("error")
    if isinstance(error, dict):
        named.append(error.get("request_id"))
    return next((text for text in named if isinstance(text, str) and text), "")[:100]


def without_quotes(message: str, prompt: Sequence[str]) -> str:
    """Shortens a vendor's message to what may be logged: no secret, and nothing that it quotes from the prompt."""
    words = redact(message).split()[:SHOWN_CHARACTERS]
    texts = [" ".join(text.split()) for text in prompt]
    quoted = [False] * len(words)
    for start in range(len(words)):
        for size in (_QUOTED_WORDS, 2, 1):
            run = " ".join(words[start : start + size]).strip("'\"`.,:;()[]{}")
            if _quotes(run, texts, whole=size < _QUOTED_WORDS and len(run) < _QUOTED_CHARACTERS):
                quoted[start : start + size] = [True] * size
                break
    shown = [
        "…" if hidden else word
        for at, (word, hidden) in enumerate(zip(words, quoted, strict=False))
        if not (hidden and at and quoted[at - 1])
    ]
    text = " ".join(shown)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _quotes(run: str, texts: Sequence[str], *, whole: bool) -> bool:
    """Checks whether a text holds the run; a run of few words must be the whole text, as short prompts are."""
    if not run:
        return False
    return any(run == text if whole else run in text for text in texts)
