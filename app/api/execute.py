"""The submission of tasks, and the list of agents that can run them."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from app.api.bodies import IDEMPOTENCY_KEY, ExecuteBody
from app.api.dependencies import ApiState, CurrentCaller, State, request_id_of
from app.api.problems import problems
from app.api.views.rendering import json_answer
from app.api.views.tasks import AcceptedView, AgentListView, TaskView, accepted_view
from app.api.waiting import APPLIED, APPLIED_HEADER, WaitSeconds
from app.domain.task import Source, Task
from app.errors import InvalidRequest, StoreError, TaskNotFound, TaskUnreadable
from app.services.acceptance import Origin
from app.telemetry.logs import get_logger
from app.telemetry.tracing import current_traceparent

REPLAYED_HEADER = "Idempotency-Replayed"
_USER_AGENT_CHARACTERS = 512
# For the OpenAPI document.
_HEADERS = {
    "Location": {"schema": {"type": "string"}, "description": "The path of the task."},
    REPLAYED_HEADER: {"schema": {"const": "true"}, "description": "The Idempotency-Key belongs to an earlier request."},
    **APPLIED,
}

_log = get_logger(__name__)
router = APIRouter(tags=["agent"])


@router.post(
    "/v1/agent/execute",
    status_code=202,
    response_model=AcceptedView,
    responses={
        200: {
            "model": TaskView,
            "description": "With `Prefer: wait` or `?wait=`: the task has ended in time.",
            "headers": _HEADERS,
        },
        202: {"headers": _HEADERS},
        **problems(400, 404, 409, 410, 413, 415),
    },
    summary="Submit a task",
    operation_id="submitTask",
)
async def execute(
    request: Request,
    body: ExecuteBody,
    caller: CurrentCaller,
    state: State,
    wait_seconds: WaitSeconds,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Makes a repeat of the request return the first task. 1 to 255 visible characters.",
            json_schema_extra={"pattern": IDEMPOTENCY_KEY},  # checked below, to name the rule in the refusal
        ),
    ] = None,
) -> Response:
    """Accepts a task and answers at once, even while Redis is down. The task runs as soon as a worker is free."""
    if body.source is not None:
        caller.require_operator()
    request_id = request_id_of(request)
    attributes = {"correlation_id": request_id, "user.id": caller.key_id}
    traceparent = request.headers.get("traceparent")
    with state.tracing.span("agents.workflow.submit", traceparent=traceparent, attributes=attributes) as span:
        origin = Origin(
            tenant=caller.tenant,
            request_id=request_id,
            source=(Source() if body.source is None else body.source.to_source()).model_copy(
                update={
                    "ip": caller.address,
                    "user_agent": _user_agent(request),
                    "environment": state.settings.process.environment.value,
                }
            ),
            traceparent=current_traceparent(),
            idempotency_key=_checked_key(idempotency_key, sent=len(request.headers.getlist("Idempotency-Key"))),
        )
        submission = await state.tasks.submit(body.to_request(), origin)
        span.set_attribute("workflow.id", submission.task.id)
    task = submission.task
    headers = {"Location": f"/v1/tasks/{task.id}"}
    if submission.replayed:
        headers[REPLAYED_HEADER] = "true"
    if wait_seconds > 0:
        task = await _wait(state, task, seconds=wait_seconds)
        headers[APPLIED_HEADER] = f"wait={wait_seconds}"
        if task.status.terminal:
            return json_answer(TaskView.model_validate(task), 200, headers)
    return json_answer(accepted_view(task, replayed=submission.replayed), 202, headers)


@router.get(
    "/v1/agents",
    response_model=AgentListView,
    responses=problems(),
    summary="List the agents",
    operation_id="listAgents",
)
async def list_agents(_: CurrentCaller, state: State) -> Response:
    """Returns the agents that workers have published, with their descriptions."""
    return json_answer(AgentListView.model_validate({"items": await state.roster.list_all()}))


async def _wait(state: ApiState, task: Task, *, seconds: float) -> Task:
    """Waits for the end of an accepted task. Raises TaskErased.

    Any other error would hide the task's id, and the caller would submit the task again.
    """
    try:
        return await state.tasks.wait(task, seconds=seconds)
    except (StoreError, TaskNotFound, TaskUnreadable) as error:
        _log.warning("accepted_task_not_read", task_id=task.id, error_code=error.code)
        return task


def _checked_key(key: str | None, *, sent: int) -> str | None:
    if key is None:
        return None
    problem = None
    if sent > 1:
        problem = "must be sent once"
    elif not re.fullmatch(IDEMPOTENCY_KEY, key):
        problem = "must have 1 to 255 visible ASCII characters"
    if problem is not None:
        raise InvalidRequest("The Idempotency-Key is not valid.", fields=[("Idempotency-Key", problem)])
    return key


def _user_agent(request: Request) -> str | None:
    given = request.headers.get("user-agent")
    return None if given is None else given[:_USER_AGENT_CHARACTERS]
