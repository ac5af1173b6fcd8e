"""Cursors: the API's own ones come back as they were, and any other text is refused."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.cursor import decode_cursor, encode_cursor
from app.errors import InvalidRequest

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
clock_times = st.timedeltas(timedelta(), timedelta(days=80_000)).map(lambda age: EPOCH + age)
parts = st.one_of(st.integers(), st.integers(-(10**14), 3 * 10**14), st.floats(), st.booleans(), st.none(), st.text())


@given(moment=clock_times, text=st.text())
def test_a_cursor_keeps_texts_and_the_milliseconds_of_times(moment: datetime, text: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    assert decode_cursor(encode_cursor([moment, text]), datetime, str) == [moment, text]


@given(content=st.one_of(parts, st.lists(parts, max_size=3)))
@example(content=[-62_135_596_795_000])
@example(content=[253_402_300_799_999])
def test_times_of_any_cursor_leave_room_on_both_sides_or_it_is_refused(content: object) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    with suppress(InvalidRequest):
        (moment,) = decode_cursor(cursor, datetime)
        assert moment - DAY < moment < moment + DAY
