"""The layers around every request, as plain ASGI, from the outside in.

`RequestContext` gives the request an id, one log line and its metrics. `FaultBarrier` is the process edge: it answers
the exceptions that the inner layers did not handle. It is inside CORS, so that browsers may read such answers.
`HeadAnswers` lets the routes take HEAD for GET. `BodyGuard` refuses bodies that are too large or not declared as JSON
before a handler reads them.
"""

from __future__ import annotations

import re
import time
import uuid

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.auth import KEY_HEADER, TENANT_HEADER
from app.api.problems import problem_response
from app.errors import BodyTooLarge, UnsupportedMediaType
from app.settings import ApiSettings
from app.telemetry.logs import bind_log_context, get_logger
from app.telemetry.metrics import HttpMetrics

REQUEST_ID_HEADER = "X-Request-ID"
UNMATCHED = "unmatched"
CLIENT_GONE = 499
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = frozenset({"/health", "/ready", "/metrics"})

_log = get_logger(__name__)


def install_middleware(app: FastAPI, settings: ApiSettings, metrics: HttpMetrics) -> None:
    """Adds the layers from the inside out: Starlette makes the last one added the outermost."""
    app.add_middleware(BodyGuard, max_bytes=settings.max_body_bytes)
    app.add_middleware(HeadAnswers)
    app.add_middleware(FaultBarrier)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[
                "Authorization", "Content-Type", "Idempotency-Key", "Prefer", "Traceparent",
                KEY_HEADER, TENANT_HEADER, REQUEST_ID_HEADER,
            ],
            expose_headers=[
                REQUEST_ID_HEADER, "Idempotency-Replayed", "Location", "Preference-Applied", "Retry-After",
            ],
        )  # fmt: skip
    app.add_middleware(RequestContext, metrics=metrics)


class RequestContext:
    """The outermost layer: sets `request_id` in the request's state and on the answer; counts and logs the request."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get(REQUEST_ID_HEADER))
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        began = time.perf_counter()
        with bind_log_context(request_id=request_id):
            try:
                await self._app(scope, receive, answer.send)
            finally:
                self._count_and_log(scope, answer.status or CLIENT_GONE, time.perf_counter() - began)

    def _count_and_log(self, scope: Scope, status: int, seconds: float) -> None:
        # Methods and paths come from the client. Only known ones become labels, or a scanner could fill the metrics.
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route: str = getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.http_requests.labels(method=method, route=route, status=str(status)).inc()
        self._metrics.http_seconds.labels(method=method, route=route).observe(seconds)
        log = _log.debug if route in _PROBES else _log.info
        # A long poll lasts as long as the client asked. `waits` marks it, so that latency figures leave it out.
        waits = {"waits": True} if scope["state"].get("waits") else {}
        log(
            "http_request",
            method=method,
            endpoint=route,
            status_code=status,
            duration_ms=round(seconds * 1000, 2),
            **waits,
        )


class _Answer:
    """The answer on its way out: gets the request id, and its status is recorded."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID_HEADER] = self._request_id
        await self._send(message)


class FaultBarrier:
    """The layer that turns every exception into a problem document, unless an answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as error:  # noqa: BLE001 - the process edge: no layer above could answer the caller
            # The status line is on the wire, so a second answer would corrupt the connection.
            if begun:
                _log.exception("answer_cut_short")
                return
            await problem_response(error, request_id=scope["state"]["request_id"])(scope, receive, send)


class HeadAnswers:
    """The layer that answers HEAD as GET without its body. Probes and caches ask so, and the routes know only GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            scope["method"] = "HEAD"  # the server reads it too: for GET it would miss the bytes of the body
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["method"] = "GET"
        try:
            await self._app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"  # for metrics and logs


class BodyGuard:
    """The limit of bodies. `max_bytes` holds for bodies of declared length and for chunked ones."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length")
        chunked = length is None and "transfer-encoding" in headers
        if chunked or (length is not None and length != "0"):
            _require_json(headers.get("content-type"))
        if length is not None and (not length.isdigit() or int(length) > self._max_bytes):
            raise self._too_large()
        await self._app(scope, await self._read_ahead(receive) if chunked else receive, send)

    async def _read_ahead(self, receive: Receive) -> Receive:
        """Reads a body of undeclared length first, so that it is refused here and not half way through its parsing."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > self._max_bytes:
                raise self._too_large()
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self._max_bytes} bytes.")


def _require_json(content_type: str | None) -> None:
    media_type, _, parameters = (content_type or "").partition(";")
    charset = parameters.strip().lower()
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise UnsupportedMediaType("The body must be sent as Content-Type: application/json, in UTF-8.")


def _request_id(given: str | None) -> str:
    """Returns the caller's id if it is safe in logs and headers, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex
