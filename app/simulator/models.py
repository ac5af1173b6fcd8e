"""`/v1/models`: the models that a demo uses, with the dates on which their providers switch them off.

OpenAI's list and Anthropic's are at the same path. The header `anthropic-version`, which Anthropic requires, decides
which one is meant; the entries have the fields of both.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.simulator.chat import ChatCompletions
from app.simulator.core import error_response
from app.simulator.credentials import check_credential
from app.simulator.dialect import CREATED, Dialect, dump
from app.simulator.messages import Messages
from app.simulator.prompt import Json
from app.simulator.scripted_faults import FAILURES

_SHUTDOWN_DATES: dict[str, str | None] = {
    "gpt-4.1": "2027-01-14",
    "gpt-4.1-mini": "2027-01-14",
    "gpt-4o": "2027-01-14",
    "gpt-4o-mini": "2027-01-14",
    "gpt-5": None,
    "gpt-5-mini": None,
    "gpt-5.1-codex": None,
    "text-embedding-3-small": None,
    "claude-sonnet-5": None,
    "sim-router": None,
    "sim-writer": None,
    "sim-primary": None,
    "gpt-6-sim-coder": None,
    "gpt-6-sim-next": None,
    "claude-sim-next": None,
}


async def list_models(request: Request) -> Response:
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    listing = {
        "object": "list",
        "data": [_entry(model) for model in _SHUTDOWN_DATES],
        "has_more": False,
        "first_id": next(iter(_SHUTDOWN_DATES)),
        "last_id": next(reversed(_SHUTDOWN_DATES)),
    }
    return Response(dump(listing), media_type="application/json")


async def show_model(request: Request) -> Response:
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    model = request.path_params["model"]
    if model == "sim-404":
        return error_response(_dialect(request), FAILURES["404"])
    return Response(dump(_entry(model)), media_type="application/json")


def _refusal(request: Request) -> Response | None:
    dialect = _dialect(request)
    failure = check_credential(request.headers, dialect.provider)
    return None if failure is None else error_response(dialect, failure)


def _dialect(request: Request) -> Dialect:
    return Messages() if "anthropic-version" in request.headers else ChatCompletions()


def _entry(model: str) -> Json:
    return {
        "id": model,
        "object": "model",
        "type": "model",
        "created": CREATED,
        "created_at": "2026-01-01T00:00:00Z",
        "display_name": model,
        "owned_by": "simulator",
        "shutdown_date": _SHUTDOWN_DATES.get(model),
    }
