"""The rendering of times: they are compared and sorted as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, get_args, get_origin

import pytest
from fastapi.openapi.utils import get_fields_from_routes
from pydantic import AwareDatetime, BaseModel, PlainSerializer

from app.api.views.parts import Time, View
from app.api.views.tasks import TaskView
from app.domain.scaling import ScalingDecision
from app.main import create_app
from app.settings import load_settings


class Moment(View):
    at: Time | None


def bare_times(annotation: Any, place: str) -> Iterator[str]:
    """Finds the fields below the annotation whose times are not rendered as `Time`."""
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        if not any(isinstance(item, PlainSerializer) for item in metadata):
            yield from bare_times(base, place)
    elif annotation in (AwareDatetime, datetime):
        yield place
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            whole = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            yield from bare_times(whole, f"{annotation.__name__}.{name}")
    else:
        for part in get_args(annotation):
            yield from bare_times(part, place)


def answers() -> list[Any]:
    fields = get_fields_from_routes(create_app(load_settings()).routes)
    return [field.field_info.annotation for field in fields if field.mode == "serialization"]


def test_every_answer_renders_its_times_alike() -> None:
    found = answers()

    assert TaskView in found
    assert [place for answer in found for place in bare_times(answer, str(answer))] == []
    assert list(bare_times(list[ScalingDecision] | None, "")) == ["ScalingDecision.at"]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 1, 12, 0, 26, tzinfo=UTC), '"2026-01-01T12:00:26.000000Z"'),
        (datetime(2026, 1, 1, 12, 0, 26, 272_000, tzinfo=UTC), '"2026-01-01T12:00:26.272000Z"'),
        (datetime(2026, 1, 1, 12, 0, tzinfo=timezone(timedelta(hours=2))), '"2026-01-01T10:00:00.000000Z"'),
        (None, "null"),
    ],
)
def test_every_time_has_the_same_length_in_utc(at: datetime | None, text: str) -> None:
    assert Moment(at=at).model_dump_json() == f'{{"at":{text}}}'


def test_a_time_is_one_in_the_schema() -> None:
    schema = Moment.model_json_schema(mode="serialization")["properties"]["at"]
    assert schema["anyOf"][0] == {"type": "string", "format": "date-time"}
