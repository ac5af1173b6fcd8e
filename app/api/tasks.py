"""Tasks: reading, listing and cancelling them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.bodies import IdPrefix, PlainText, UtcTime, UuidText
from app.api.dependencies import CurrentCaller, State
from app.api.problems import problems
from app.api.views.rendering import json_answer
from app.api.views.tasks import MessageListView, RunListView, TaskListView, TaskView
from app.api.waiting import APPLIED, APPLIED_HEADER, WaitSeconds
from app.domain.identity import SessionId, TaskId
from app.domain.task import TaskStatus
from app.ports import TaskFilter

router = APIRouter(tags=["tasks"])


class ListQuery(BaseModel):
    """Filters and page of the list of tasks; a task must match all filters."""

    model_config = ConfigDict(extra="forbid")

    status: TaskStatus | None = None
    agent_type: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,31}$", description="content, code …")
    session_id: UuidText | None = None
    created_from: UtcTime | None = Field(default=None, description="This time or later, with its UTC offset.")
    created_to: UtcTime | None = Field(default=None, description="Before this time, with its UTC offset.")
    text: PlainText | None = Field(
        default=None, min_length=1, max_length=200, description="Part of the task's text, upper or lower case."
    )
    id_prefix: IdPrefix | None = Field(default=None, description="Beginning of the task's id, 4 characters or more.")
    cursor: str | None = Field(default=None, min_length=1, max_length=256, description="`next_cursor` of a page.")
    limit: int = Field(default=20, ge=1, le=100, description="Tasks on a page.")

    def to_filter(self) -> TaskFilter:
        return TaskFilter(
            status=self.status,
            agent_type=self.agent_type,
            session_id=None if self.session_id is None else SessionId(self.session_id),
            created_from=self.created_from,
            created_to=self.created_to,
            text=self.text,
            id_prefix=self.id_prefix,
        )


@router.get(
    "/v1/tasks", response_model=TaskListView, responses=problems(), summary="List tasks", operation_id="listTasks"
)
async def list_tasks(query: Annotated[ListQuery, Query()], caller: CurrentCaller, state: State) -> Response:
    """Returns tasks page by page, newest first. New tasks do not shift the pages."""
    page = await state.tasks.list_page(caller.tenant, query.to_filter(), cursor=query.cursor, limit=query.limit)
    return json_answer(TaskListView.model_validate(page))


@router.get(
    "/v1/tasks/{task_id}",
    response_model=TaskView,
    responses={200: {"headers": APPLIED}, **problems(404, 410)},
    summary="Read a task",
    operation_id="getTask",
)
async def get_task(task_id: UuidText, caller: CurrentCaller, state: State, wait_seconds: WaitSeconds) -> Response:
    """Returns the whole task: its text, status, steps, result and cost; with `Prefer: wait` or `?wait=` at its end."""
    task = await state.tasks.get(caller.tenant, TaskId(task_id))
    if wait_seconds == 0:
        return json_answer(TaskView.model_validate(task))
    task = await state.tasks.wait(task, seconds=wait_seconds)
    return json_answer(TaskView.model_validate(task), headers={APPLIED_HEADER: f"wait={wait_seconds}"})


@router.get(
    "/v1/tasks/{task_id}/runs",
    response_model=RunListView,
    responses=problems(404, 410),
    summary="Read a task's runs",
    operation_id="listRuns",
)
async def list_runs(task_id: UuidText, caller: CurrentCaller, state: State) -> Response:
    """Returns the finished nodes of the router's and the agent's graphs, oldest first."""
    runs = await state.tasks.runs(caller.tenant, TaskId(task_id))
    return json_answer(RunListView.model_validate({"task_id": task_id, "items": runs}))


@router.get(
    "/v1/tasks/{task_id}/messages",
    response_model=MessageListView,
    responses=problems(404, 410),
    summary="Read a task's messages",
    operation_id="listMessages",
)
async def list_messages(task_id: UuidText, caller: CurrentCaller, state: State) -> Response:
    """Returns the messages of this task, oldest first. The session has the whole conversation."""
    messages = await state.tasks.messages(caller.tenant, TaskId(task_id))
    return json_answer(MessageListView.model_validate({"task_id": task_id, "items": messages}))


@router.post(
    "/v1/tasks/{task_id}/cancel",
    response_model=TaskView,
    responses=problems(404, 410),
    summary="Cancel a task",
    operation_id="cancelTask",
)
async def cancel_task(task_id: UuidText, caller: CurrentCaller, state: State) -> Response:
    """Ends a queued task at once and asks a running one to stop; a finished task is unchanged. Safe to repeat."""
    return json_answer(TaskView.model_validate(await state.tasks.cancel(caller.tenant, TaskId(task_id))))
