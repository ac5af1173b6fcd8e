"""Recorded responses over a socket: each byte arrives as it was scripted."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import OpenAI

MODEL = "recorded-model"
EVENTS = [
    b'data: {"choi',
    b"",
    b'ces":[]}\r\n\r\n: \xff\x00\n',
    b"data: [DONE]",
]  # cut, strange, without a last line end


def encoded(piece: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(piece).decode()}


class Answer:
    """The bytes of one response as they come from the socket, until the server closes the connection."""

    def __init__(self, simulator: str, *, model: str = MODEL) -> None:
        address = urlsplit(simulator)
        body = json.dumps({"model": model, "messages": []}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer k\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.arrivals: list[float] = []
        received = b""
        with socket.create_connection((str(address.hostname), int(address.port or 80)), timeout=10) as connection:
            connection.sendall(head.encode() + body)
            while part := connection.recv(65_536):
                self.arrivals.append(time.monotonic())
                received += part
        raw_head, _, self.payload = received.partition(b"\r\n\r\n")
        self.status_line, *lines = raw_head.decode("latin-1").split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines)

    @property
    def chunks(self) -> list[bytes]:
        """Splits the payload of a chunked response into its chunks, without the empty one at the end."""
        return list(self._chunks(self.payload))

    def _chunks(self, payload: bytes) -> Iterator[bytes]:
        size, _, rest = payload.partition(b"\r\n")
        length = int(size, 16)
        if length:
            yield rest[:length]
            yield from self._chunks(rest[length + 2 :])


def script(control: httpx.Client, **fields: Any) -> None:
    control.post("/simulator/recordings", json={"model": MODEL, **fields}).raise_for_status()


def test_stream_arrives_in_its_pieces(simulator: str, control: httpx.Client) -> None:
    headers = {"content-type": "text/event-stream", "x-request-id": "req_recorded"}
    script(control, headers=headers, pieces=[encoded(piece) for piece in EVENTS], times=1)
    answer = Answer(simulator)
    assert answer.status_line == "HTTP/1.1 200 OK"
    assert answer.headers.items() >= headers.items()
    assert set(answer.headers) - set(headers) <= {"transfer-encoding", "connection"}
    assert answer.chunks == [piece for piece in EVENTS if piece]


@pytest.mark.parametrize("status", [200, 400, 429, 529, 503])
def test_body_and_status_arrive_as_they_were(simulator: str, control: httpx.Client, status: int) -> None:
    body = b'{"error": {"message": "\xc3\xbc\xff"}}\n'
    headers = {"content-type": "application/json", "content-length": str(len(body)), "retry-after": "7"}
    script(control, status=status, headers=headers, body=encoded(body))
    answer = Answer(simulator)
    assert answer.status_line.startswith(f"HTTP/1.1 {status} ")
    assert answer.payload == body
    assert answer.headers.items() >= headers.items()


def test_megabyte_in_one_event_arrives_whole(simulator: str, control: httpx.Client) -> None:
    event = "data: " + "x" * 1_000_000 + "\n\n"
    script(control, pieces=[event], times=1)
    assert Answer(simulator).chunks == [event.encode()]


def test_pause_lies_between_the_pieces(simulator: str, control: httpx.Client) -> None:
    script(control, pieces=["a", "b", "", "c"], pause_ms=100, times=1)
    answer = Answer(simulator)
    assert answer.chunks == [b"a", b"b", b"c"]
    assert answer.arrivals[-1] - answer.arrivals[0] >= 0.29  # three pauses, less the clock's coarseness


def test_recordings_serve_the_next_calls_and_then_the_simulator_answers(simulator: str, control: httpx.Client) -> None:
    script(control, body="first", times=2)
    script(control, body="second", times=1)
    recorded = [Answer(simulator).chunks for _ in range(3)]
    assert recorded == [[b"first"], [b"first"], [b"second"]]
    assert Answer(simulator, model="other").headers["content-type"] == "application/json"
    assert b"chat.completion" in Answer(simulator).payload


def test_length_that_is_wrong_breaks_the_connection(simulator: str, control: httpx.Client) -> None:
    script(control, headers={"Content-Length": "100"}, body="too short", times=1)
    assert Answer(simulator).payload == b"too short"
    assert Answer(simulator).status_line == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("model", ["sim-reset", "sim-stall"])
def test_scripted_break_cuts_a_recording(simulator: str, control: httpx.Client, model: str) -> None:
    control.post(
        "/simulator/recordings", json={"model": model, "pieces": ["a", "b", "c", "d"], "times": 1}
    ).raise_for_status()
    received: list[bytes] = []
    with httpx.Client(timeout=0.5, headers={"Authorization": "Bearer k"}) as client:
        call = client.stream("POST", f"{simulator}/v1/chat/completions", json={"model": model, "messages": []})
        with call as response, pytest.raises(httpx.TransportError):
            received.extend(response.iter_raw())
    assert b"".join(received) == b"abc"


def test_sdk_reads_a_recording_of_its_provider(simulator: str, control: httpx.Client) -> None:
    delta = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": []}
    chunk = {**delta, "choices": [{"index": 0, "delta": {"content": "from a tape"}, "finish_reason": "stop"}]}
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    script(control, headers={"Content-Type": "text/event-stream"}, pieces=list(events), times=1)
    with OpenAI(base_url=f"{simulator}/v1", api_key="k", max_retries=0, timeout=5) as client:
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hello"}], stream=True
        )
        assert [event.choices[0].delta.content for event in stream] == ["from a tape"]
    assert control.get("/simulator/calls").json()["by_outcome"] == {"recorded": 1}
