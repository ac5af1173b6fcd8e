"""The API sends every field that the operator reads: a renamed one must not become a silent None."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from agent_operator.rest.task_state import (
    ChangesAnswer,
    LookupAnswer,
    TaskDigest,
    TaskProblem,
    TaskRouting,
    TaskSource,
    TaskState,
    TaskUsage,
)
from app.api.views.parts import ErrorView, RoutingView, SourceView, UsageView, View
from app.api.views.tasks import ChangesView, ChangeView, DigestView, LookupView


@pytest.mark.parametrize(
    ("read", "sent"),
    [
        (TaskState, ChangeView),
        (TaskSource, SourceView),
        (TaskRouting, RoutingView),
        (TaskUsage, UsageView),
        (TaskDigest, DigestView),
        (TaskProblem, ErrorView),
        (ChangesAnswer, ChangesView),
        (LookupAnswer, LookupView),
    ],
)
def test_the_api_sends_what_the_operator_reads(read: type[BaseModel], sent: type[View]) -> None:
    """Compares the names on the wire: the API writes names of fields, the operator may read by an alias."""
    names_read = set(read.model_json_schema(mode="validation")["properties"])

    assert names_read <= set(sent.model_fields)


def test_every_part_of_a_state_is_compared() -> None:
    """A part that is added to `TaskState` must be added to the pairs above."""
    parts = set(TaskState.model_json_schema(mode="validation")["$defs"])

    assert parts == {"TaskSource", "TaskRouting", "TaskUsage", "TaskDigest", "TaskProblem", "TaskStatus"}
