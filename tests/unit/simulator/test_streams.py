"""Chunked responses, and their scripted ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from starlette.types import Message

from app.simulator.streams import ChunkedResponse, halves, split_text


class Connection:
    """The server's side of one request; its caller has hung up as soon as the server reads."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def finished(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


async def respond(
    chunks: Sequence[bytes], *, transport: str | None = None, chunks_per_write: int = 1
) -> tuple[Connection, list[bool]]:
    connection, ends = Connection(), list[bool]()
    response = ChunkedResponse(
        chunks,
        [(b"content-type", b"text/plain")],
        ends.append,
        status=418,
        transport=transport,
        chunks_per_write=chunks_per_write,
    )
    await response({"type": "http"}, connection.receive, connection.send)
    return connection, ends


async def test_all_chunks_are_sent_in_few_writes() -> None:
    chunks = [b"%d," % number for number in range(20)]
    connection, ends = await respond(chunks, chunks_per_write=8)
    assert connection.body == b"".join(chunks)
    assert connection.finished
    assert len(connection.sent) == 1 + 3 + 1
    assert ends == [True]


async def test_each_chunk_is_a_write_of_its_own() -> None:
    connection, _ = await respond([b"a", b"bc", b""])
    start, *writes, end = connection.sent
    assert (start["status"], start["headers"]) == (418, [(b"content-type", b"text/plain")])
    assert [write["body"] for write in writes] == [b"a", b"bc", b""]
    assert end["body"] == b""


@pytest.mark.parametrize("transport", ["reset", "stall"])
async def test_broken_answer_stops_in_the_middle(transport: str) -> None:
    connection, ends = await respond([b"a" * 10] * 10, transport=transport)
    assert 0 < len(connection.body) < 100
    assert not connection.finished
    assert ends == [False]


async def test_hanging_answer_sends_nothing() -> None:
    connection, ends = await respond([b"a"], transport="hang")
    assert connection.sent == []
    assert ends == [False]


@pytest.mark.parametrize("length", [0, 1, 12, 13, 1_000, 9_999])
def test_text_is_split_into_few_pieces(length: int) -> None:
    text = "x" * length
    pieces = split_text(text, 30)
    assert "".join(pieces) == text
    assert len(pieces) <= 30


def test_halves_join_to_the_whole() -> None:
    assert b"".join(halves(b"abcde")) == b"abcde"
