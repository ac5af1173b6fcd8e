from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.providers.sse import COALESCE_CHARACTERS, COALESCE_SECONDS, EventReader, TextCollector, without_thoughts
from tests.support.doubles import ManualClock

JSON_OBJECTS = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none()
        | st.integers()
        | st.text(st.characters(codec="utf-8"), max_size=8)
        | st.sampled_from(['"', "\\", "{", "]"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)
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
    assert reader.ended


@given(cuts=st.lists(st.integers(0, 10_000), max_size=12), end=st.sampled_from(["\n", "\r\n", "\r"]))
@pytest.mark.parametrize(
    ("body", "events"),
    [
        ('\ufeffdata: {"a": 1}\n\n', [{"a": 1}]),
        ('data: {"a":\ndata:  [1,\ndata: 2]}\n\n', [{"a": [1, 2]}]),
        ('data: {"a": 1}', [{"a": 1}]),
        ('data: {"a": 1}\ndata: {"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('id: 7\nretry: 10\n: ping\ndata:{"a": 1}\n\n\n', [{"a": 1}]),
        ('data\n\ndata:\n\ndata: {"a": 1}\n\n', [{"a": 1}]),
        ('event: error\ndata: {"message": "x"}\n\n', [{"type": "error", "error": {"message": "x"}}]),
        ('error: {"code": 500}\n\ndata: [DONE]\n\n', [{"error": {"code": 500}}]),
        ('error: {"error": "x"}\n\n', [{"error": "x"}]),
        ('{"error": "x"}', [{"error": "x"}]),
        ('error: is none\n{half\n{\n\ndata: {"a": 1}\n\n', [{"a": 1}]),
        ('data: [{"a": 1}]\n\n', [{"a": 1}]),
    ],
    ids=["mark", "lines", "last", "close", "fields", "empty", "error", "field", "envelope", "bare", "prose", "list"],
)
def test_everything_that_the_standard_allows_and_servers_send_is_read(
    body: str, events: list[dict[str, object]], cuts: list[int], end: str
) -> None:
    reader = EventReader()
    read = [event for piece in split(body.replace("\n", end).encode(), cuts) for event in reader.feed(piece)]
    assert [*read, *reader.finish()] == events


@pytest.mark.parametrize(
    "body",
    [b"data: {\n", b"data: 3\n", b"data: [1]\n", b"data: []\n", b"data: [{}, {}]\n", b"data: {\n\n", b'data: {"a": '],
)
def test_an_event_that_is_no_object_is_an_error(body: bytes) -> None:
    reader = EventReader()
    with pytest.raises(ValueError, match=r".+"):
        list(itertools.chain(reader.feed(body), reader.finish()))


@given(events=st.lists(JSON_OBJECTS, max_size=3), cuts=st.lists(st.integers(0, 10_000), max_size=12))
@pytest.mark.parametrize("between", ["\n", ""], ids=["apart", "without an empty line"])
def test_an_event_may_take_a_line_for_each_of_its_parts(
    events: list[dict[str, object]], cuts: list[int], between: str
) -> None:
    written = (json.dumps(event, indent=1).replace("\n", "\ndata: ") for event in events)
    body = "".join(f"data: {event}\n{between}" for event in written).encode()
    reader = EventReader()
    read = [event for piece in split(body, cuts) for event in reader.feed(piece)]
    assert [*read, *reader.finish()] == events


def test_an_event_of_many_lines_takes_no_longer_than_its_length() -> None:
    """Parsed from its start with each line, this one would take minutes."""
    lines = 100_000
    body = b"data: [{\n" + b'data: "a": [1, "}]{", 2],\n' * lines + b'data: "b": 2\ndata: }]\n\n'
    begun = time.process_time()
    assert list(EventReader().feed(body)) == [{"a": [1, "}]{", 2], "b": 2}]
    assert time.process_time() - begun < 3.0


def test_a_line_of_many_pieces_takes_no_longer_than_its_length() -> None:
    body = b'data: {"a": "' + b"x" * 4_000_000 + b'"}\n\n'
    pieces = [body[at : at + 64] for at in range(0, len(body), 64)]
    reader = EventReader()
    begun = time.process_time()
    (event,) = itertools.chain.from_iterable(map(reader.feed, pieces))
    assert len(event["a"]) == 4_000_000
    assert time.process_time() - begun < 3.0


def test_an_event_without_an_end_does_not_fill_the_memory() -> None:
    reader = EventReader()
    pieces = itertools.repeat(b"x" * 1_000_000, times=100)
    with pytest.raises(ValueError, match="too long"):
        list(itertools.chain.from_iterable(map(reader.feed, pieces)))


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


THOUGHT = "<think>\nThe user wants a city.\n</think>\n\n"


@given(cuts=st.lists(st.integers(0, 10_000), max_size=12))
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{THOUGHT}Oslo.", "Oslo."),
        (f"\n{THOUGHT.replace('think', 'thinking')}Oslo.", "Oslo."),
        ("<think></think>Oslo.", "Oslo."),
        ("<b>Oslo</b> <think>", "<b>Oslo</b> <think>"),
        ("<", "<"),
    ],
)
def test_marked_thinking_is_neither_told_nor_kept(text: str, answer: str, cuts: list[int]) -> None:
    clock, received = ManualClock(), list[str]()
    collector = TextCollector(received.append, clock.monotonic)
    for piece in split(text.encode(), cuts):
        collector.add(piece.decode())
        clock.advance(COALESCE_SECONDS)
    assert collector.finish() == answer
    assert not any("The user" in piece for piece in received)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The user wants a city.\n</think>\nOslo.", "Oslo."),
        ("<think>never ends", ""),
        ("```html\n</think>\n```", "```html\n</think>\n```"),
    ],
)
def test_half_marked_thinking_is_taken_off(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer
