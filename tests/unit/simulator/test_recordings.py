"""Recorded responses: reading them, and the order in which they are served."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulator.recordings import Recording, Recordings, parse_recording


def test_every_field_is_read() -> None:
    recording = parse_recording(
        {
            "model": "m",
            "status": 429,
            "headers": {"Retry-After": "2"},
            "pieces": ["data: {", {"base64": "AP8="}, ""],
            "pause_ms": 20,
            "times": 3,
        }
    )
    assert recording == Recording(
        model="m",
        pieces=(b"data: {", b"\x00\xff", b""),
        status=429,
        headers=((b"retry-after", b"2"),),
        pause_ms=20,
        times=3,
    )


def test_only_model_and_body_are_needed() -> None:
    assert parse_recording({"model": "m", "body": "x"}) == Recording(model="m", pieces=(b"x",))


@given(st.binary())
def test_any_bytes_can_be_given(body: bytes) -> None:
    wish = {"model": "m", "body": {"base64": base64.b64encode(body).decode()}}
    assert b"".join(parse_recording(wish).pieces) == body


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"model": None},
        {"body": None},
        {"body": {"base64": "not base64"}},
        {"body": {"base64": "AP8=", "text": "x"}},
        {"body": {"base64": 1}},
        {"body": "\ud800"},
        {"pieces": ["x"]},
        {"stauts": 200},
        {"status": 99},
        {"status": "200"},
        {"status": True},
        {"headers": {"a b": "x"}},
        {"headers": {"a": "x\r\nb: y"}},
        {"headers": {"a": 1}},
        {"headers": ["a"]},
        {"pause_ms": -1},
        {"pause_ms": 0.5},
        {"times": 0},
        {"times": True},
    ],
)
def test_recording_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        parse_recording({"model": "m", "body": "x", **change})


@pytest.mark.parametrize("pieces", ["text", None, [1], [["x"]]])
def test_pieces_that_make_no_sense_are_refused(pieces: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        parse_recording({"model": "m", "pieces": pieces})


def served(recordings: Recordings, model: str) -> bytes | None:
    recording = recordings.take(model)
    return None if recording is None else b"".join(recording.pieces)


def test_recordings_of_a_model_are_served_in_order_and_so_often() -> None:
    recordings = Recordings(
        [
            Recording("m", (b"first",), times=2),
            Recording("other", (b"other",), times=1),
            Recording("m", (b"second",), times=1),
        ]
    )
    assert [served(recordings, "m") for _ in range(4)] == [b"first", b"first", b"second", None]
    assert [served(recordings, "other") for _ in range(2)] == [b"other", None]
    assert recordings.waiting == []


def test_recording_without_a_number_stays() -> None:
    recordings = Recordings([Recording("m", (b"x",))])
    assert [served(recordings, "m") for _ in range(3)] == [b"x"] * 3


def test_description_leaves_the_body_out() -> None:
    described = Recording("m", (b"secret", b""), status=500, times=2).describe()
    assert described == {"model": "m", "status": 500, "times": 2, "pieces": 2, "bytes": 6}
