"""The errors of the clients behind LangChain's integrations, read as a `ProviderFault`.

Their classes have no common base, but they are alike: nearly all of them carry the status and the body of the
response, as attributes of a few names, on the error itself or on the one that caused it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.llm.faults import FaultKind, ProviderFault
from app.llm.providers.adapter import ProviderRequest
from app.llm.providers.refusals import refusal_fault
from app.llm.vendor_error import read_error

_DEEPEST_CAUSE = 8
_NO_CREDENTIAL = ("Credential", "TokenRetrieval", "SSOToken", "UnauthorizedSSO")
_STATUSES = range(400, 600)


def to_fault(error: Exception, request: ProviderRequest, *, secrets: Sequence[str]) -> ProviderFault:
    """Classifies an error of a call. Its text is shown as that of any refusal, or not at all."""
    for cause in _causes(error):
        status = _status_of(cause)
        if status is not None:
            headers = _headers_of(cause)
            told = read_error(_body_of(cause), status=status, headers=headers)
            return refusal_fault(told, headers, request, secrets=secrets)
    return _broken(error)


def _broken(error: Exception) -> ProviderFault:
    """Builds the fault of an error without a status: only the names of classes are safe to show."""
    names = [type(cause).__name__ for cause in _causes(error)]
    shown = " < ".join(dict.fromkeys(names))
    if any(word in name for name in names for word in _NO_CREDENTIAL):
        return ProviderFault(FaultKind.AUTH, shown)
    # Before "Connect", because a connection that could not be made in time was not used.
    if any("ConnectTimeout" in name or "ConnectError" in name for name in names):
        return ProviderFault(FaultKind.UNREACHABLE, shown)
    if any("Timeout" in name for name in names):
        return ProviderFault(FaultKind.TIMEOUT, shown, maybe_billed=True)
    if any("Connection" in name or "EndpointConnect" in name for name in names):
        return ProviderFault(FaultKind.UNREACHABLE, shown, maybe_billed=True)
    return ProviderFault(FaultKind.BROKEN_ANSWER, shown, maybe_billed=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Goes from an error to what caused it, and on."""
    cause: BaseException | None = error
    for _ in range(_DEEPEST_CAUSE):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _status_of(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    candidates = [getattr(error, "status_code", None), getattr(error, "code", None)]
    if isinstance(response, Mapping):  # botocore
        candidates.append(_mapping(response.get("ResponseMetadata")).get("HTTPStatusCode"))
    else:
        candidates.append(getattr(response, "status_code", None))
    return next((value for value in candidates if isinstance(value, int) and value in _STATUSES), None)


def _headers_of(error: BaseException) -> Mapping[str, str]:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return _mapping(_mapping(response.get("ResponseMetadata")).get("HTTPHeaders"))
    headers = getattr(response, "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def _body_of(error: BaseException) -> object:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        told = _mapping(response.get("Error"))
        return {"code": told.get("Code"), "message": told.get("Message")}
    # openai and anthropic: `body`; google: `details`; ollama: `error`.
    for name in ("body", "details", "error"):
        body = getattr(error, name, None)
        if isinstance(body, Mapping | str) and body:
            return body
    return str(error)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
