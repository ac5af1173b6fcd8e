"""The check of a request's credential: exactly one, in a header that the provider's own SDK sends, and a real key.

The sources of the SDKs were read: openai 3.52 sends a bearer token (`auth_headers`), its Azure client `api-key`;
anthropic 2.11 sends its `api_key` as a bearer token (`auth_headers`), while Anthropic documents `x-api-key`; tavily 0.8
sends a bearer token. A second credential is refused even if both are good, because nobody knows which one counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from app.simulator.scripted_faults import Failure

MISSING_KEY = "missing_api_key"
WRONG_KEY = "invalid_api_key"
_BEARER = "Bearer "
# No blanks, so a token that begins with "Bearer" once more is none.
_TOKEN = re.compile(r"[!-~]+")
_NO_KEYS = frozenset({"none", "null", "undefined", "bearer"})  # what programs write in place of a key that they lack
_REVOKED = "revoked"


@dataclass(frozen=True)
class _Refusals:
    """The provider's words for a missing key, and for a wrong one by the header that it came in."""

    missing: str
    wrong: Mapping[str, str]


_OPENAI_WRONG = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
_TAVILY = "Unauthorized: missing or invalid API key."
_REFUSALS: Mapping[str, _Refusals] = {
    "openai": _Refusals(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
        {"authorization": _OPENAI_WRONG, "api-key": _OPENAI_WRONG},
    ),
    "anthropic": _Refusals(
        "x-api-key header is required",
        {"authorization": "Invalid bearer token", "x-api-key": "invalid x-api-key"},
    ),
    "tavily": _Refusals(_TAVILY, {"authorization": _TAVILY}),
}
PROVIDERS = frozenset(_REFUSALS)
_HEADERS = frozenset(header for refusals in _REFUSALS.values() for header in refusals.wrong)


def check_credential(headers: Headers, provider: str) -> Failure | None:
    """Returns the failure of a request without exactly one good credential, else None."""
    refusals = _REFUSALS[provider]
    given = [(name, value) for name, value in headers.items() if name in _HEADERS]
    readable = [name for name, _ in given if name in refusals.wrong]
    if not readable:
        return Failure(401, MISSING_KEY, refusals.missing)
    if len(given) == 1 and _is_key(*given[0]):
        return None
    return Failure(401, WRONG_KEY, refusals.wrong[readable[0]])


def _is_key(header: str, value: str) -> bool:
    if header == "authorization" and not value.startswith(_BEARER):
        return False
    token = value.removeprefix(_BEARER) if header == "authorization" else value
    return _TOKEN.fullmatch(token) is not None and token.lower() not in _NO_KEYS and not token.startswith(_REVOKED)
