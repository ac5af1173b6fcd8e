"""`/v1/models`: the models that a demo uses, with the dates on which their providers switch them off."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.simulator.chat import openai_error
from app.simulator.dialect import CREATED, dump
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
}


async def list_models(_: Request) -> Response:
    # Fields of both providers: OpenAI's list and Anthropic's are at the same path.
    listing = {
        "object": "list",
        "data": [_entry(model) for model in _SHUTDOWN_DATES],
        "has_more": False,
        "first_id": next(iter(_SHUTDOWN_DATES)),
        "last_id": next(reversed(_SHUTDOWN_DATES)),
    }
    return Response(dump(listing), media_type="application/json")


async def show_model(request: Request) -> Response:
    model = request.path_params["model"]
    if model == "sim-404":
        return Response(dump(openai_error(FAILURES["404"])), status_code=404, media_type="application/json")
    return Response(dump(_entry(model)), media_type="application/json")


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
