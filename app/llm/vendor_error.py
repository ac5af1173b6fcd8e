"""The reason that a server gives for refusing a request, read from any of the shapes in which servers write it.

OpenAI and its imitators put an object under `error`, Anthropic adds a code under `details`, Ollama writes a string,
Mistral and vLLM put the fields at the top, Mistral also an object into the message, FastAPI a list under `detail`,
Cloudflare a list under `errors`, Google a list around everything, MiniMax an object under `base_resp`. The type is
`error_type` in text-generation-inference, and `__type` or a header at AWS. A server that has begun to answer with
status 200 names the status of its error as a code. No server of models refuses with a page of HTML: a proxy does, a
firewall, or a web server at a wrong address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.telemetry.logs import MASK, redact

SHOWN_CHARACTERS = 300
READ_CHARACTERS = 1_000
# One word, or several with commas between them: the names of parameters. Anything else may be prose.
_NAMES = re.compile(r"[^\s,]{1,100}(?:, [^\s,]{1,100})*")
_MARKS = "'\"`.,:;()[]{}"
# Shorter runs are in every sentence; longer ones are a quotation. The second limit is for languages without spaces.
_QUOTED_WORDS = 3
_QUOTED_CHARACTERS = 16
# Anything longer, or with spaces, is prose under the wrong name. `error` and `failed` say nothing.
_CODE = re.compile(r"(?!(?:error|failed)$)[A-Za-z0-9_.:-]{1,64}")
_CODE_NAMES = ("code", "type", "status", "error_type", "__type")
_PROSE_NAMES = ("message", "Message", "detail", "msg", "title", "error_description", "status_msg")
_TYPE_HEADER = "x-amzn-errortype"
# Not the content type: some servers send plain text under that of a page. Comments may come before the first element.
_PAGE = re.compile(
    r"\ufeff?\s*(?:<!--.{0,500}?-->\s*|<\?xml[^>]{0,100}>\s*)*"
    r"<(!doctype html|html|head|title|body|center|h1)\b",
    re.I | re.S,
)
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "cf-ray")


@dataclass(frozen=True)
class VendorError:
    """One refusal. `status` is the HTTP status that counts; `codes` are all codes and types, the exact ones first.

    `message` is the vendor's prose in full: pass it through `without_quotes` before it is shown to anyone. `generation`
    is the model's answer, if that is what the server found wrong. `is_page`: the body was a page of HTML, of whose text
    nothing is kept.
    """

    status: int | None = None
    codes: tuple[str, ...] = ()
    param: str = ""
    message: str = ""
    request_id: str = ""
    generation: str = ""
    is_page: bool = False


def read_error(body: object, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> VendorError:
    """Reads the body of an error: what its JSON holds, or else its text.

    Whatever is missing, or has another type than expected, stays empty.
    """
    is_page = isinstance(body, str) and _PAGE.match(body) is not None
    outer = _first(None if is_page else body)
    top: Mapping[str, Any] = outer if isinstance(outer, dict) else {"message": outer}
    named = _first(top.get("error") or top.get("errors") or top.get("base_resp"))
    error: Mapping[str, Any] = named if isinstance(named, dict) else {**top, **_as_message(named)}
    inner = error.get("message")
    if isinstance(inner, dict):
        error = {**error, **inner}
    details = error.get("details")
    exact = details.get("error_code") if isinstance(details, dict) else None
    told = [exact, *(source.get(name) for source in (error, top) for name in _CODE_NAMES)]
    codes = [_plain_code(code) for code in (*told, (headers or {}).get(_TYPE_HEADER))]
    return VendorError(
        status=status if status is not None and status >= 300 else _status_among(told),
        codes=tuple(dict.fromkeys(code for code in codes if code)),
        param=_param(error),
        message=_prose(error),
        request_id=_request_id(top, headers or {}),
        generation=_generation(error),
        is_page=is_page,
    )


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _plain_code(code: object) -> str:
    """Returns the code, without the namespace and the address that AWS puts around it; empty if it is none."""
    plain = code.rpartition("#")[2].partition(":http")[0] if isinstance(code, str) else ""
    return plain if _CODE.fullmatch(plain) else ""


def _generation(error: Mapping[str, Any]) -> str:
    found = error.get("failed_generation")  # Groq
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False) if found else ""


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
    for name in _PROSE_NAMES:
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


def describe(error: VendorError, *, prompt: Sequence[str], secrets: Sequence[str] = ()) -> str:
    """Joins everything that explains the refusal: `400 unsupported_value param=stream: "…" (request req_1)`.

    Nothing of it is a quotation from the prompt, or one of the `secrets` that were sent.
    """
    param = without_quotes(error.param, prompt, secrets=secrets)
    shown = without_quotes(error.message, prompt, secrets=secrets)
    told = _names(error, param) + (f': "{shown}"' if shown else "")
    return f"{told} (request {error.request_id})" if error.request_id else told


def outline(error: VendorError, *, prompt: Sequence[str], secrets: Sequence[str] = ()) -> str:
    """Joins what explains the refusal without the vendor's prose: `400 unsupported_value param=stream (request req_1)`.

    This is for logs: the prose may still have a word or two of the prompt, or of the model's answer.
    """
    param = without_quotes(error.param, prompt, secrets=secrets)
    told = _names(error, param if _NAMES.fullmatch(param) else "")
    if _NAMES.fullmatch(error.request_id):
        told += f" (request {error.request_id})"
    for secret in secrets:
        told = told.replace(secret, MASK)
    return told


def _names(error: VendorError, param: str) -> str:
    parts = [str(error.status)] if error.status is not None else []
    parts += [code for code in error.codes if code != str(error.status)]
    return " ".join([*parts, f"param={param}"] if param else parts)


def without_quotes(message: str, prompt: Sequence[str], *, secrets: Sequence[str] = ()) -> str:
    """Shortens a vendor's message to what may be logged: no secret, and nothing that it quotes from the prompt.

    `secrets` are the keys that were sent, which some servers repeat.
    """
    for secret in secrets:
        message = message.replace(secret, MASK)
    text = " ".join(redact(_unescape(message)).split())[:READ_CHARACTERS]
    spaced = [" ".join(part.split()) for part in prompt]
    hidden = _quoted_words(text, spaced) | _quoted_characters(text, spaced)
    shown = "".join(
        ("" if at - 1 in hidden else "…") if at in hidden else character for at, character in enumerate(text)
    )
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 1] + "…"


def _unescape(text: str) -> str:
    """Reads the escapes of JSON and of Python, under which a quotation would not be found."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return re.sub(r"\\[nrt]", " ", plain).encode(errors="replace").decode()


def _quoted_words(text: str, prompt: Sequence[str]) -> set[int]:
    """Finds the places of words that the prompt has in the same order, or that are a whole short prompt."""
    words = list(re.finditer(r"\S+", text))
    hidden: set[int] = set()
    for at in range(len(words)):
        for size in (_QUOTED_WORDS, 2, 1):
            run = words[at : at + size]
            begin, end = run[0].start(), run[-1].end()
            quoted = text[begin:end].strip(_MARKS)
            if quoted and any(quoted == part if size < _QUOTED_WORDS else quoted in part for part in prompt):
                begin += len(text[begin:end]) - len(text[begin:end].lstrip(_MARKS))
                hidden.update(range(begin, begin + len(quoted)))
                break
    return hidden


def _quoted_characters(text: str, prompt: Sequence[str]) -> set[int]:
    """Finds the places of longer runs of characters that the prompt has, wherever a word begins."""
    hidden: set[int] = set()
    for at in range(len(text)):
        size = _QUOTED_CHARACTERS if text[at : at + _QUOTED_CHARACTERS].isascii() else _QUOTED_CHARACTERS // 2
        run = text[at : at + size]
        if len(run) == size and any(run in part for part in prompt):
            hidden.update(range(at, at + size))
    return hidden
