from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.providers.sse import EventReader

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
    """Cuts the body at places that any numbers give."""
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


def of_many_lines(size: int) -> list[bytes]:
    return [b"data: [{\n" + b'data: "a": [1, "}]{", 2],\n' * size + b'data: "b": 2\ndata: }]\n\n']


def of_many_pieces(size: int) -> list[bytes]:
    body = b'data: {"a": "' + b"x" * 64 * size + b'"}\n\n'
    return [body[at : at + 64] for at in range(0, len(body), 64)]


@pytest.mark.parametrize("build", [of_many_lines, of_many_pieces])
def test_an_event_takes_as_long_as_its_length_demands(build: Callable[[int], list[bytes]]) -> None:
    """Eight times the length takes about eight times as long, not sixty-four times."""

    def seconds(size: int) -> float:
        pieces, reader = build(size), EventReader()
        begun = time.process_time()
        events = [event for piece in pieces for event in reader.feed(piece)]
        spent = time.process_time() - begun
        assert len(events) == 1
        return spent

    short = min(seconds(5_000) for _ in range(3))
    long = min(seconds(40_000) for _ in range(3))
    assert long < 24 * short


def test_an_event_without_an_end_does_not_fill_the_memory() -> None:
    reader = EventReader()
    pieces = itertools.repeat(b"x" * 1_000_000, times=100)
    with pytest.raises(ValueError, match="too long"):
        list(itertools.chain.from_iterable(map(reader.feed, pieces)))
