"""Errors as problem documents (RFC 9457), with a stable code and the request's id.

The errors of `app.errors` carry their status and code; the framework's errors are mapped to them. An error that is not
mapped becomes a 500 without details, which are logged under the same request id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.errors import (
    AgentOrchestratorError,
    DependencyError,
    IdempotencyConflict,
    IntakePaused,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    RateLimited,
    RouteNotFound,
    TaskUnreadable,
    TooManyConnections,
    Unauthenticated,
    UnknownAgent,
)
from app.telemetry.logs import get_logger

PROBLEM_JSON = "application/problem+json"
PROBLEM_TYPES = "urn:agent-orchestrator:problem:"
DEPENDENCY_RETRY_SECONDS = 5
_FIELD_CHARACTERS = 100
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_INTERNAL_DETAIL = "An internal error occurred; the server's log has the details under this request id."
_TITLE_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")

_log = get_logger(__name__)


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(AgentOrchestratorError, _handle)
    app.add_exception_handler(RequestValidationError, _handle)
    app.add_exception_handler(HTTPException, _handle_of_framework)


async def _handle(request: Request, error: Exception) -> Response:
    return problem_response(error, request_id=request.scope["state"].get("request_id", ""))


async def _handle_of_framework(request: Request, error: Exception) -> Response:
    answer = await _handle(request, error)
    if answer.status_code == 405:
        answer.headers["Allow"] = ", ".join(_allowed_methods(request))  # the framework names those of one route
    return answer


def _allowed_methods(request: Request) -> list[str]:
    def fits(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)

    methods = {method for method in _METHODS if fits(method)}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def problem_response(error: Exception, *, request_id: str) -> Response:
    """Builds the answer to a request that ended with this error."""
    ours = to_ours(error)
    # Only 5xx: every request has its line `http_request`, and a fault of the caller needs no other.
    if ours.http_status == 500:
        _log.error("request_failed", error_code=ours.code, exc_info=error)
    elif ours.http_status > 500:
        _log.warning("request_failed", error_code=ours.code)
    problem = {
        "type": PROBLEM_TYPES + ours.code.lower().replace("_", "-"),
        "title": _title(ours),
        "status": ours.http_status,
        "detail": _INTERNAL_DETAIL if ours.http_status == 500 else ours.message,
        "code": ours.code,
        "error_category": ours.category.value,
        "request_id": request_id,
        **_extras(ours),
    }
    headers = _headers(ours)
    if isinstance(error, HTTPException) and error.headers:
        headers |= error.headers
    return Response(json.dumps(problem), ours.http_status, headers, media_type=PROBLEM_JSON)


def to_ours(error: Exception) -> AgentOrchestratorError:
    """Converts the framework's errors to ours; an unknown one becomes the root of our tree, a 500."""
    if isinstance(error, AgentOrchestratorError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return RouteNotFound("There is no endpoint at this path; /docs lists all endpoints.")
        if error.status_code == 405:
            return MethodNotAllowed("This path does not support this method; see the Allow header.")
        if error.status_code == 400:
            return MalformedBody("The body is not valid JSON.")
    return AgentOrchestratorError(_INTERNAL_DETAIL)


def _invalid(details: Sequence[Mapping[str, Any]]) -> AgentOrchestratorError:
    for detail in details:
        if detail["type"] == "json_invalid":
            return MalformedBody(f"The body is not valid JSON (at character {detail['loc'][-1]}).")
    fields = [(_field(detail["loc"]), _advice(detail)) for detail in details]
    count = "1 field is wrong." if len(fields) == 1 else f"{len(fields)} fields are wrong."
    return InvalidRequest(count, fields=fields)


def _field(location: Sequence[str | int]) -> str:
    """Names the field: `metadata.a` for a part of the body, `limit` for a parameter, `body` for the whole body."""
    # pydantic appends "[key]" if the key of a mapping is wrong and not its value.
    inner = [str(part)[:_FIELD_CHARACTERS] for part in location[1:] if part != "[key]"]
    return ".".join(inner) or str(location[0])


def _advice(detail: Mapping[str, Any]) -> str:
    if detail["type"] == "extra_forbidden":
        return "is not a known field"
    if detail["type"] == "missing":
        return "is required"
    if detail["type"] == "string_pattern_mismatch":
        return f"must match pattern {detail['ctx']['pattern']}"
    message: str = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _title(error: AgentOrchestratorError) -> str:
    if type(error) is AgentOrchestratorError:
        return "Internal error"
    return _TITLE_WORD.sub(" ", type(error).__name__).capitalize()


def _extras(error: AgentOrchestratorError) -> dict[str, Any]:
    if isinstance(error, InvalidRequest) and error.fields:
        return {"errors": [{"field": field, "message": message} for field, message in error.fields]}
    if isinstance(error, IdempotencyConflict):
        return {"task_id": error.task_id}
    if isinstance(error, UnknownAgent):
        return {"errors": [{"field": "agent", "message": error.message}], "known_agents": list(error.known)}
    return {}


def _headers(error: AgentOrchestratorError) -> dict[str, str]:
    if isinstance(error, RateLimited | IntakePaused):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, DependencyError | TaskUnreadable | TooManyConnections):
        return {"Retry-After": str(DEPENDENCY_RETRY_SECONDS)}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="agent-orchestrator"'}
    return {}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Builds OpenAPI's part about errors: those that every call may have, and further ones, as problem documents."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemView"}}},
            **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status in sorted({401, 403, 422, 429, 500, 503, *statuses})
    }


RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds after which to try again."}}
_DESCRIPTIONS = {
    400: "The body is not valid JSON.",
    401: "The API key is missing, unknown, revoked or expired.",
    403: "The API key's role may not do this.",
    404: "There is nothing with this id for this tenant.",
    409: "The Idempotency-Key was used with another body; `task_id` is its task.",
    410: "The task or session was erased on request.",
    413: "The body is too large.",
    415: "The body is not declared as application/json.",
    422: "A field is wrong; `errors` names each one.",
    429: "Too many requests; try again after Retry-After seconds.",
    500: "An internal error.",
    503: "A server that the API needs is unavailable, or new tasks are paused; try again after Retry-After seconds.",
}
