"""The limits before the application, on raw sockets: the size of heads, the time of receiving, the connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.api import http_protocol
from app.api.http_protocol import MAX_HEAD_BYTES, bounded_http_protocol
from app.api.middleware import HeadAnswers
from tests.support.servers import HOST, free_port

PATIENCE_SECONDS = 0.3


async def slow(_: Request) -> PlainTextResponse:
    await asyncio.sleep(2 * PATIENCE_SECONDS)  # answers after the limit of receiving, which must not count here
    return PlainTextResponse("slow")


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


class StartedServer(uvicorn.Server):
    """A server that tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextlib.asynccontextmanager
async def serving(*, max_connections: int = 50) -> AsyncIterator[int]:
    config = uvicorn.Config(
        HeadAnswers(Starlette(routes=[Route("/slow", slow), Route("/", echo, methods=["GET", "POST"])])),
        host=HOST,
        port=free_port(),
        http=bounded_http_protocol(max_connections=max_connections),
        log_config=None,
        lifespan="off",
    )
    server = StartedServer(config)
    running = asyncio.create_task(server.serve())
    await server.up.wait()
    try:
        yield config.port
    finally:
        server.should_exit = True
        await running


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", PATIENCE_SECONDS)


async def answer_to(port: int, *pieces: bytes) -> bytes:
    """Sends the pieces and reads until the server closes."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        for piece in pieces:
            writer.write(piece)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def problem_in(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"],
        [b"GET /?" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", *[b"x" * 10_000] * 200],
        [b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X-%d: y\r\n" % number for number in range(20_000)]],
    ],
    ids=["one-header", "url", "endless-header", "many-headers"],
)
async def test_a_head_that_is_too_large_is_refused(pieces: list[bytes]) -> None:
    async with serving() as port:
        status, problem = problem_in(await answer_to(port, *pieces))
    assert (status, problem["code"]) == (431, "HEAD_TOO_LARGE")


async def test_a_large_body_in_the_same_piece_as_its_head_is_taken() -> None:
    body = b"x" * 2 * MAX_HEAD_BYTES
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving() as port:
        answer = await answer_to(port, head + body)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"%d" % len(body))


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        (b"GET / HTTP/1.1\r\nHo", "head"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "body"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT", "head"),
    ],
    ids=["half-a-head", "half-a-body", "half-a-second-head"],
)
async def test_a_client_that_stops_sending_is_refused(sent: bytes, part: str) -> None:
    async with serving() as port:
        answer = await answer_to(port, sent)
    status, problem = problem_in(answer[answer.rindex(b"HTTP/1.1") :])
    assert (status, problem["code"]) == (408, "REQUEST_TOO_SLOW")
    assert part in problem["detail"]


async def test_endless_trailers_of_a_body_are_refused() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: "
    async with serving() as port:
        status, problem = problem_in(await answer_to(port, head, *[b"x" * 10_000] * 200))
    assert (status, problem["code"]) == (431, "HEAD_TOO_LARGE")


async def test_line_breaks_after_an_answer_keep_no_connection() -> None:
    async with serving() as port:
        answer = await answer_to(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_late_request_gets_no_answer_in_the_place_of_an_earlier_one() -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving() as port:
        answer = await answer_to(port, slow + b"GET / HT")
    first, _, refusal = answer.partition(b"\r\n\r\nslow")
    assert first.startswith(b"HTTP/1.1 200")
    assert problem_in(refusal)[0] == 408


async def test_head_is_answered_without_a_body_and_the_connection_goes_on() -> None:
    request = b" / HTTP/1.1\r\nHost: a\r\n"
    async with serving() as port:
        answer = await answer_to(port, b"HEAD" + request + b"\r\n", b"GET" + request + b"Connection: close\r\n\r\n")
    first, _, second = answer.partition(b"\r\n\r\n")
    assert b"200" in first
    assert b"content-length: 1" in first
    assert second.startswith(b"HTTP/1.1 200")
    assert second.endswith(b"\r\n\r\n0")


async def test_a_silent_connection_is_closed_without_a_word() -> None:
    async with serving() as port:
        assert await answer_to(port) == b""


async def test_a_connection_waits_for_its_next_request() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving() as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        for _ in range(2):
            writer.write(request)
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(2 * PATIENCE_SECONDS)  # idle for longer than the limit of receiving
        writer.close()


async def test_a_connection_beyond_the_limit_is_refused_and_the_others_go_on() -> None:
    async with serving(max_connections=2) as port:
        first, second = [await asyncio.open_connection(HOST, port) for _ in range(2)]
        status, problem = problem_in(await answer_to(port))
        assert (status, problem["code"]) == (503, "TOO_MANY_CONNECTIONS")
        first[1].write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await first[0].readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        for _, writer in (first, second):
            writer.close()
