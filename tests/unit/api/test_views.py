"""The rendering of times: they are compared and sorted as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.api.views.parts import Time, View


class Moment(View):
    at: Time | None


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
