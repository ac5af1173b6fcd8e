"""The edge of HTTP: the limits that hold before a request reaches the application.

uvicorn and its parser have no limit for the head of a request, nor for the time in which a client sends one. Without
them one client keeps a connection, or the event loop, for as long as it likes.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import ClassVar

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.problems import problem_response
from app.errors import AgentOrchestratorError, HeadTooLarge, RequestTooSlow, TooManyConnections

MAX_HEAD_BYTES = 65_536
HEAD_SECONDS = 30.0
BODY_SECONDS = 60.0
LINGER_SECONDS = 1.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection, with limits for the size of heads and the time of receiving."""

    max_connections: ClassVar[int]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn does the same
        super().connection_made(transport)
        self._deadline: asyncio.TimerHandle | None = None
        # Since the last byte of a body, or of a request that is complete: heads, and trailers of chunked bodies.
        self._unread_bytes = 0
        self._head_begun = False
        self._in_head = True
        self._refused = False
        if len(self.connections) > self.max_connections:
            self._refuse(TooManyConnections(f"The API has {self.max_connections} open connections, its limit."))
        else:
            self._expect_within(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unread_bytes += len(data)
        # Also for bytes that begin no request, such as line breaks: they end uvicorn's wait for the next request.
        if self._in_head and self._deadline is None and not self._answer_pending:
            self._expect_within(HEAD_SECONDS)
        super().data_received(data)
        # A head that is complete is measured as such, because the same bytes may hold a part of the body.
        if self._unread_bytes > MAX_HEAD_BYTES and not self._refused:
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_begun = True

    def on_headers_complete(self) -> None:
        self._unread_bytes = 0
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse_head()
            return
        self._in_head = False
        # While an earlier request is unanswered, uvicorn reads no further.
        if self._answer_pending:
            self._stop_waiting()
        else:
            self._expect_within(BODY_SECONDS)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        super().on_message_complete()
        self._stop_waiting()
        self._unread_bytes = 0
        self._head_begun = False
        self._in_head = True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._head_begun and self._in_head and not self._refused:
            self._expect_within(HEAD_SECONDS)

    @property
    def _answer_pending(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's annotation leaves out that there is none at first
        return cycle is not None and not cycle.response_complete

    def _expect_within(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self._time_out)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        self._deadline = None
        part, seconds = ("head", HEAD_SECONDS) if self._in_head else ("body", BODY_SECONDS)
        self._refuse(RequestTooSlow(f"The {part} of the request did not arrive within {seconds:g} seconds."))

    def _refuse_head(self) -> None:
        self._refuse(HeadTooLarge(f"The head of the request is larger than {MAX_HEAD_BYTES} bytes."))

    def _refuse(self, error: AgentOrchestratorError) -> None:
        """Answers with the error and closes. Only closes if nothing was asked, or the answer would come out of turn.

        A connection that is closed while the client still sends is reset, and the client would lose the answer. So this
        side ends first, and what still comes is thrown away for a moment.
        """
        self._refused = True
        self._stop_waiting()
        nothing_asked = isinstance(error, RequestTooSlow) and self._in_head and not self._head_begun
        if nothing_asked or self._answers_another() or not self.transport.can_write_eof():
            self.transport.close()
            return
        if self._answer_pending:  # the handler waits for the body: it ends as if the client had gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_as_bytes(problem_response(error, request_id=uuid.uuid4().hex)))
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _answers_another(self) -> bool:
        """Checks whether the next bytes of this side belong to another request, or to an answer that has begun."""
        if self._in_head:
            return self._answer_pending
        cycle: RequestResponseCycle | None = self.cycle
        return bool(self.pipeline) or cycle is None or cycle.response_started or cycle.response_complete


def bounded_http_protocol(*, max_connections: int) -> type[BoundedHttpProtocol]:
    """Builds the class of connections for one server, which has at most `max_connections` of them."""
    return type("HttpProtocol", (BoundedHttpProtocol,), {"max_connections": max_connections})


def _as_bytes(answer: Response) -> bytes:
    reasons = {408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}
    lines = [b"HTTP/1.1 %d %s" % (answer.status_code, reasons[answer.status_code]), b"connection: close"]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
