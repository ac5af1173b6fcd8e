"""The part that all endpoints share: record the call, wait, fail as scripted, answer, record the outcome."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app.simulator.answers.compose import compose_answer
from app.simulator.dialect import Dialect, Unacceptable, dump
from app.simulator.ledger import OK, Call, Ledger
from app.simulator.prompt import Json
from app.simulator.scripted_faults import Failure, FaultPlan, ScriptedFaults
from app.simulator.streams import ChunkedResponse, halves, split_text

_JSON = b"application/json"
_EVENTS = b"text/event-stream; charset=utf-8"
_MALFORMED = Failure(400, "invalid_request", "The body is not a request of this endpoint.")
_MALFORMED_ERRORS = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class SimulatorConfig:
    """The pace of answers: `latency_ms` before each; a stream has at most `chunks` pieces, `chunk_delay_ms` apart."""

    latency_ms: int = 0
    chunks: int = 30
    chunk_delay_ms: int = 0


Endpoint = Callable[[Request], Awaitable[ASGIApp]]


class Simulator:
    """Everything the server remembers between requests."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.faults = ScriptedFaults()
        self.ledger = Ledger()

    def model_endpoint(self, dialect: Dialect) -> Endpoint:
        """Builds the endpoint of a model API."""

        async def endpoint(request: Request) -> ASGIApp:
            body = await request.body()
            try:
                payload: Json = json.loads(body)
                model = str(payload["model"])
            except _MALFORMED_ERRORS:
                return error_response(dialect, _MALFORMED)
            call, plan = self.record_call(request, dialect.provider, dialect.endpoint, model, body)
            failure = await self.run_plan(request, plan)
            if failure is not None:
                self.ledger.finish(call, plan.name or failure.code)
                return error_response(dialect, failure)
            try:
                return self._answer(dialect, payload, plan, call)
            except Unacceptable as refusal:
                self.ledger.finish(call, refusal.failure.code)
                return error_response(dialect, refusal.failure)
            except _MALFORMED_ERRORS:
                self.ledger.finish(call, _MALFORMED.code)
                return error_response(dialect, _MALFORMED)

        return endpoint

    def record_call(
        self, request: Request, provider: str, endpoint: str, model: str, body: bytes
    ) -> tuple[Call, FaultPlan]:
        """Records the call, and plans its faults."""
        headers = request.headers
        task_id = headers.get("x-task-id", "")
        call = self.ledger.begin(
            provider=provider,
            endpoint=endpoint,
            model=model,
            task_id=task_id,
            # The product sends Tavily the request id as its session id.
            request_id=headers.get("x-request-id") or headers.get("x-session-id", ""),
            step=headers.get("x-step", ""),
            # A checksum of the body, not a random id: the same request gets the same bytes, ids included.
            fingerprint=f"{zlib.crc32(body):08x}",
        )
        header = headers.get("x-simulator-fault", "")
        return call, self.faults.plan(provider=provider, model=model, header=header, task_id=task_id)

    async def run_plan(self, request: Request, plan: FaultPlan) -> Failure | None:
        """Waits as long as the plan asks, then returns the error to answer with, None for a good answer."""
        latency_ms = self.config.latency_ms + plan.latency_ms
        if latency_ms:
            await asyncio.sleep(latency_ms / 1000)
        return plan.failure or check_key(request)

    def respond(self, call: Call, plan: FaultPlan, body: Json, *, tokens: tuple[int, int] = (0, 0)) -> ASGIApp:
        """Answers in one piece."""
        return self._chunked(call, plan, halves(dump(body).encode()), _JSON, tokens)

    def _answer(self, dialect: Dialect, payload: Json, plan: FaultPlan, call: Call) -> ASGIApp:
        prompt = dialect.read(payload)
        answer = compose_answer(prompt, plan.effects, seed=call.fingerprint)
        tokens = (prompt.input_tokens, answer.output_tokens)
        if not prompt.stream:
            return self.respond(call, plan, dialect.whole(prompt, answer, answer_id=call.fingerprint), tokens=tokens)
        pieces = split_text(answer.text, self.config.chunks)
        events = dialect.events(prompt, answer, answer_id=call.fingerprint, pieces=pieces)
        return self._chunked(call, plan, list(events), _EVENTS, tokens)

    def _chunked(
        self, call: Call, plan: FaultPlan, chunks: list[bytes], content_type: bytes, tokens: tuple[int, int]
    ) -> ASGIApp:
        def end(complete: bool) -> None:
            # A client that hangs up did so by itself, unless a scripted transport fault made it.
            outcome = (plan.name or OK) if complete or plan.transport else "disconnected"
            self.ledger.finish(call, outcome, input_tokens=tokens[0], output_tokens=tokens[1] if complete else 0)

        streamed = content_type is _EVENTS
        delay_ms = (self.config.chunk_delay_ms + plan.drip_ms) if streamed else 0
        return ChunkedResponse(
            chunks,
            content_type,
            end,
            delay_seconds=delay_ms / 1000,
            transport=plan.transport,
            request_id=f"req_{call.number}",
        )


def check_key(request: Request) -> Failure | None:
    """Accepts any key; returns a failure for a missing key and for one that begins with `revoked`."""
    key = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("x-api-key", "")
    if not key or key.startswith("revoked"):
        return Failure(401, "invalid_api_key", "Incorrect API key provided.")
    return None


def error_response(dialect: Dialect, failure: Failure) -> Response:
    headers = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
    content = dump(dialect.error(failure))
    return Response(content, status_code=failure.status, headers=headers, media_type="application/json")
