"""Sessions: reading a conversation's context, and erasing it."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from app.api.bodies import UuidText
from app.api.dependencies import CurrentCaller, State
from app.api.problems import problems
from app.api.views.rendering import json_answer
from app.api.views.tasks import SessionView, session_view
from app.domain.identity import SessionId

router = APIRouter(tags=["sessions"])


@router.get(
    "/v1/sessions/{session_id}",
    response_model=SessionView,
    responses=problems(404, 410),
    summary="Read a session",
    operation_id="getSession",
)
async def get_session(session_id: UuidText, caller: CurrentCaller, state: State) -> Response:
    """Returns the session's tasks and its last hundred turns."""
    return json_answer(session_view(await state.sessions.context(caller.tenant, SessionId(session_id))))


@router.delete(
    "/v1/sessions/{session_id}",
    status_code=204,
    responses=problems(404),
    summary="Erase a session permanently",
    operation_id="eraseSession",
)
async def erase_session(session_id: UuidText, caller: CurrentCaller, state: State) -> Response:
    """Removes every text of the session and cancels its running tasks. They answer 410 afterwards. Safe to repeat."""
    await state.sessions.erase(caller.tenant, SessionId(session_id))
    return Response(status_code=204)
