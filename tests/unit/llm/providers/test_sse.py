from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.providers.sse import COALESCE_CHARACTERS, COALESCE_SECONDS, EventReader, TextCollector
from tests.support.doubles import ManualClock

EVENTS = st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=3), max_size=6)


def split(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({cut % (len(body) + 1) for cut in cuts})
    return [body[begin:end] for begin, end in zip([0, *places], [*places, len(body)], strict=True)]


@given(events=EVENTS, cuts=st.lists(st.integers(0, 10_000), max_size=12), crlf=st.booleans())
def test_events_are_the_same_however_the_body_is_cut(events: list[dict[str, str]], cuts: list[int], crlf: bool) -> None:
    end = "\r\n" if crlf else "\n"
    lines = [f"event: x{end}data: {json.dumps(event)}{end}{end}" for event in events]
    body = "".join([f": hello{end}{end}", *lines, f"data: [DONE]{end}{end}"]).encode()
    reader = EventReader()
    assert [event for piece in split(body, cuts) for event in reader.feed(piece)] == events


@pytest.mark.parametrize("line", [b"data: {\n", b"data: 3\n", b"data: [1]\n"])
def test_an_event_that_is_no_object_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list(EventReader().feed(line))


@given(st.lists(st.text(max_size=50), max_size=60), st.floats(0, 0.2))
def test_what_is_told_adds_up_to_the_text(pieces: list[str], step: float) -> None:
    clock, received = ManualClock(), list[str]()
    collector = TextCollector(received.append, clock.monotonic)
    for piece in pieces:
        collector.add(piece)
        clock.advance(step)
    assert collector.finish() == "".join(pieces) == "".join(received)


def test_small_pieces_are_told_together() -> None:
    clock, received = ManualClock(), list[str]()
    collector = TextCollector(received.append, clock.monotonic)
    for _ in range(COALESCE_CHARACTERS):
        collector.add("a")
    collector.add("b")
    assert received == ["a" * COALESCE_CHARACTERS]
    clock.advance(COALESCE_SECONDS)
    collector.add("c")
    assert received[1:] == ["bc"]


def test_nobody_has_to_listen() -> None:
    collector = TextCollector(None, ManualClock().monotonic)
    collector.add("a")
    assert collector.finish() == "a"
