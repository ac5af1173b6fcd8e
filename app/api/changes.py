"""The changes feed and the look-up of many tasks, for the operator and similar callers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import LOOKUP_ITEMS, LookupBody
from app.api.dependencies import CurrentCaller, State
from app.api.problems import problems
from app.api.views.rendering import json_answer
from app.api.views.tasks import ChangesView, LookupView
from app.domain.identity import TaskId

MOST_ITEMS = 1000

router = APIRouter(tags=["changes"])


class ChangesQuery(BaseModel):
    """Parameters of the changes feed."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="`cursor` of an answer; left out, from now on.",
    )
    limit: int = Field(default=500, ge=1, le=MOST_ITEMS, description="Most changes in an answer.")
    wait_seconds: float = Field(default=0, ge=0, le=30, description="Longest wait for a first change.")


@router.get(
    "/v1/tasks/changes",
    response_model=ChangesView,
    responses=problems(),
    summary="Follow all tasks",
    operation_id="listChanges",
)
async def read_changes(
    request: Request, query: Annotated[ChangesQuery, Query()], caller: CurrentCaller, state: State
) -> Response:
    """Returns the tasks of all tenants that have changed after the cursor, oldest change first. Role service or admin.

    Only the last of several changes of a task is returned. A change may be returned again: keep the greatest `rev` of
    each task. None is missed as long as the reader asks at least every ten seconds.
    """
    caller.require_operator()
    request.state.waits = query.wait_seconds > 0
    changes = await state.changes.read(query.cursor, limit=query.limit, wait_seconds=query.wait_seconds)
    return json_answer(ChangesView.model_validate(changes))


@router.post(
    "/v1/tasks/lookup",
    response_model=LookupView,
    responses=problems(400, 413, 415),
    summary="Look up many tasks",
    operation_id="lookupTasks",
)
async def look_up(body: LookupBody, caller: CurrentCaller, state: State) -> Response:
    """Returns tasks by id, of any tenant; by idempotency key, of the tenant in X-Tenant; or, page by page, the
    unfinished tasks of a cluster's AgentTasks. Role service or admin.

    Unknown tasks are left out. Erased tasks are returned with `erased` true.
    """
    caller.require_operator()
    if body.source is not None:
        page = await state.changes.unfinished(body.source.cluster, cursor=body.cursor, limit=LOOKUP_ITEMS)
    elif body.ids is not None:
        page = await state.changes.find([TaskId(task_id) for task_id in body.ids])
    else:
        page = await state.changes.find_by_keys(caller.tenant, body.idempotency_keys or [])
    return json_answer(LookupView.model_validate(page))
