"""A task's fields on their way from a body to the stored task and to its view; the times of all bodies and queries."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bson import encode
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import app.api
from app.api.bodies import ExecuteBody
from app.api.views.tasks import TaskView
from app.domain.task import Budget, NewTask, TaskRequest
from app.services.acceptance import hash_request

FIELDS = {
    "task": "Write about tides",
    "session_id": "7f1c1c0e-3d5b-4f8e-9a39-0f1f5d7a2b11",
    "agent": "CodeAgent",
    "priority": 3,
    "run_at": "2026-01-01T10:00:00+02:00",
    "deadline_seconds": 60,
    "ttl_seconds": 5,
    "max_attempts": 2,
    "budget": {"max_tokens": 5, "max_cost_usd": 0.25},
    "metadata": {"b": "2", "a": "1"},
}


MOST_MINUTES = 23 * 60 + 59  # the largest offset from UTC that a text can name


def inputs() -> Iterator[type[BaseModel]]:
    """Finds the models of all bodies and queries."""
    for module in pkgutil.iter_modules(app.api.__path__, "app.api."):
        for _, model in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(model, BaseModel) and model.__module__ == module.name:
                yield model


TIMES = [
    (model, name)
    for model in inputs()
    for name, schema in model.model_json_schema()["properties"].items()
    if "date-time" in json.dumps(schema)
]


def request(**fields: object) -> TaskRequest:
    return ExecuteBody.model_validate_json(json.dumps(fields)).to_request()


def test_a_body_brings_every_field_of_a_request_and_the_view_shows_it() -> None:
    assert set(ExecuteBody.model_fields) - {"source"} == set(TaskRequest.model_fields)
    assert set(TaskRequest.model_fields) <= set(NewTask.model_fields) & set(TaskView.model_fields)


def test_the_fields_of_a_body_reach_the_request() -> None:
    given = request(**FIELDS)

    assert given.budget == Budget(max_tokens=5, max_cost_microusd=250_000)
    assert given.run_at == datetime(2026, 1, 1, 8, tzinfo=UTC)
    plain = given.model_dump(exclude={"budget", "run_at"}, exclude_unset=True)
    assert plain.items() >= {name: FIELDS[name] for name in FIELDS.keys() - {"budget", "run_at"}}.items()


def test_the_hash_of_a_request_outlives_an_upgrade() -> None:
    """An earlier version stores the same hashes. With others a repeat after an upgrade would be refused."""
    assert hash_request(request(task="x")) == "14e99e9f05e6862b4bd34cdada4e08436d040fb067132c5582a9c2f731f7082c"
    of_all_fields = "a5f3a0ea0f3f3f16a164cc31c688f80a7aa28b352cc7abb634a999a161986e6e"
    assert hash_request(request(**{**FIELDS, "run_at": "2026-01-01T08:00:00Z"})) == of_all_fields


def test_the_offset_of_a_time_does_not_change_the_hash() -> None:
    times = ("2026-01-01T08:00:00Z", "2026-01-01T10:00:00+02:00", "2026-01-01T00:30:00-07:30")

    assert len({hash_request(request(task="x", run_at=time)) for time in times}) == 1


def test_the_order_of_metadata_does_not_change_the_hash() -> None:
    first, second = request(task="x", metadata={"a": "1", "b": "2"}), request(task="x", metadata={"b": "2", "a": "1"})

    assert hash_request(first) == hash_request(second)


def test_the_times_of_all_bodies_and_queries_are_known() -> None:
    assert {name for _, name in TIMES} == {"run_at", "created_from", "created_to", "at"}


@pytest.mark.parametrize(("model", "name"), TIMES)
@given(moment=st.datetimes(), minutes=st.integers(-MOST_MINUTES, MOST_MINUTES))
@example(moment=datetime.min.replace(tzinfo=UTC), minutes=MOST_MINUTES)
@example(moment=datetime.max.replace(tzinfo=UTC), minutes=-MOST_MINUTES)
def test_a_time_is_refused_or_can_be_stored(model: type[BaseModel], name: str, moment: datetime, minutes: int) -> None:
    text = moment.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat()
    complete: dict[str, Any] = model.model_json_schema().get("examples", [{}])[0]

    with suppress(ValidationError):
        read = getattr(model.model_validate({**complete, name: text}), name)
        encode({name: read})
        assert read.utcoffset() == timedelta()
